"""What the programs are made of: a bill of materials each (CycloneDX), and what is known to be wrong with it.

    python deploy/supply.py [--into FOLDER] [--audit]

Edge and node are installed as the images install them, each into an environment of its own that is thrown away
afterwards. ``edge.cdx.json`` and ``node.cdx.json`` list what came, with versions and licences. With ``--audit`` the
same lists are held against the advisories of the package index (pip-audit): a finding ends the program with 1. Where
the index has no advisories, which many mirrors have not, this is said and ends with 3: nothing was audited then.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
PARTS: Final = ("edge", "node")
TOOLS: Final = ("cyclonedx-bom==7.5.0", "pip-audit==2.10.1")
FOUND, NO_DATA = 1, 3


def _install(folder: Path, *packages: str) -> Path:
    """Packages in an environment of their own; gives its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True)
    return python


def bill(tools: Path, part: Path, written: Path) -> int:
    """Write the bill of one environment; gives how many parts it names."""
    command = [tools.with_name("cyclonedx-py"), "environment", "--output-reproducible", "--of", "JSON", "-o", written]
    subprocess.run([*command, "--pyproject", ROOT / "pyproject.toml", part], check=True)
    return len(json.loads(written.read_text())["components"])


def audit(tools: Path, part: Path) -> tuple[list[str], int]:
    """What is known to be wrong with an environment, a line each; and of how many packages anything can be known."""
    (places,) = (part.parents[1] / "lib").glob("python*/site-packages")
    command = [tools.with_name("pip-audit"), "--path", places, "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"pip-audit gave nothing: {done.stderr.strip()[-2000:]}")
    told: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    known = [one for one in told if "skip_reason" not in one]
    lines = [
        f"{one['name']} {one['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'no version yet'}"
        for one in known
        for flaw in one["vulns"]
    ]
    return lines, len(known)


def main() -> int:
    """Write the bills, and audit if asked."""
    parser = argparse.ArgumentParser(description="Bills of materials of edge and node, and an audit of them.")
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="folder for the bills (dist)")
    parser.add_argument("--audit", action="store_true", help="hold them against the package index's advisories")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    status = 0
    with tempfile.TemporaryDirectory() as name:
        tools = _install(Path(name) / "tools", *TOOLS)
        for part in PARTS:
            python = _install(Path(name) / part, f"{ROOT}[{part}]")
            subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools"], check=True)
            written = options.into / f"{part}.cdx.json"
            print(f"{written}: {bill(tools, python, written)} packages", flush=True)
            if options.audit:
                lines, known = audit(tools, python)
                print("\n".join(lines) or f"{part}: nothing known against {known} packages", flush=True)
                status = max(status, FOUND if lines else 0 if known else NO_DATA)
    if status == NO_DATA:
        print("the package index has no advisories: nothing was audited; run this where https://pypi.org answers")
    return status


if __name__ == "__main__":
    sys.exit(main())
