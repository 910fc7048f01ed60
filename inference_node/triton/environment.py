"""The isolated environment of the Triton server on one machine: ``python -m inference_node.triton.environment``.

NVIDIA's wheel carries the real server, whose Python backend was built before numpy 2 and silently returns garbage with
it. So the server gets an environment of its own with numpy 1.26, into which the application's packages (onnxruntime)
are linked behind it. Where the server cannot run, the message says what to install or to use ``--triton-url``.
"""

import argparse
import ctypes.util
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("nvidia-pytriton==0.7.0", "numpy==1.26.4")
FOLDER = ".triton"
_MARKER = "viseme.json"
_OLDEST_GLIBC = (2, 35)
_ELSEWHERE = (
    "Or run Triton elsewhere (deploy/README.md) and start the node with --triton-url HOST:PORT, "
    "or without any Triton with --engine-runtime local."
)


class TritonEnvironmentError(RuntimeError):
    """This machine cannot run the bundled Triton; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonEnvironment:
    """Where the parts of an environment stand, as absolute paths."""

    root: str
    server: str
    """The folder with ``bin/tritonserver``, ``backends`` and ``caches``."""
    libpython: str
    """The folder with the libpython of the interpreter."""
    application: tuple[str, ...]
    packages: tuple[str, ...] = PACKAGES

    def variables(self) -> dict[str, str]:
        """The environment variables that the server process needs."""
        return {"PATH": f"{self.root}/bin:{os.defpath}", "LD_LIBRARY_PATH": self.libpython}


def find(folder: Path | None = None) -> TritonEnvironment:
    """Find an environment that was made before: ``folder``, or ``.triton`` here or beside the virtual environment.

    Raises:
        TritonEnvironmentError: there is none, or it is not for this interpreter.
    """
    places = [folder] if folder else [Path(FOLDER), Path(sys.prefix).parent / FOLDER, Path(sys.prefix) / FOLDER]
    for place in places:
        made = _read(place)
        if made is not None:
            return made
    looked = ", ".join(str(place.absolute()) for place in places)
    raise TritonEnvironmentError(
        f"No Triton environment for this Python in {looked}. Make it with `make setup` or "
        f"`python -m inference_node.triton.environment --target {FOLDER}`. {_ELSEWHERE}"
    )


def make(target: Path) -> TritonEnvironment:
    """Make the environment in ``target``, or return it at once when it is there already.

    Raises:
        TritonEnvironmentError: this machine cannot run the server, or the packages cannot be installed.
    """
    target = target.absolute()
    made = _read(target)
    if made is not None:
        return made
    _check_platform()
    libpython = _libpython_folder()
    if target.exists() and not (target / "pyvenv.cfg").exists() and any(target.iterdir()):
        raise TritonEnvironmentError(f"{target} is there and is not a Triton environment; give another --target.")
    shutil.rmtree(target, ignore_errors=True)
    venv.EnvBuilder(with_pip=False, symlinks=True).create(target)
    _install(target)
    server = _site_packages(target) / "pytriton" / "tritonserver"
    stub = server / "python_backend_stubs" / _python_version() / "triton_python_backend_stub"
    if not stub.exists():
        raise TritonEnvironmentError(
            f"Triton's wheel has no Python backend for Python {_python_version()}. {_ELSEWHERE}"
        )
    link = server / "backends" / "python" / stub.name
    link.unlink(missing_ok=True)
    link.symlink_to(stub)
    application = _application()
    (_site_packages(target) / "app.pth").write_text("".join(f"{path}\n" for path in application))
    environment = TritonEnvironment(
        root=str(target), server=str(server), libpython=str(libpython), application=application
    )
    _check_server(environment)
    marker = target / _MARKER
    marker.with_suffix(".part").write_text(json.dumps(asdict(environment), indent=1))
    marker.with_suffix(".part").replace(marker)
    return environment


def _read(target: Path) -> TritonEnvironment | None:
    """Read the marker of a finished environment; None where it is missing or belongs to something else."""
    target = target.absolute()
    try:
        found = json.loads((target / _MARKER).read_text())
        environment = TritonEnvironment(
            root=found["root"],
            server=found["server"],
            libpython=found["libpython"],
            application=tuple(found["application"]),
            packages=tuple(found["packages"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    fits = environment.root == str(target) and environment.packages == PACKAGES
    same_python = environment.application == _application() and _site_packages(target).is_dir()
    return environment if fits and same_python and (Path(environment.libpython) / _library()).exists() else None


def _check_platform() -> None:
    machine = platform.machine()
    if sys.platform != "linux" or machine not in {"x86_64", "aarch64"}:
        raise TritonEnvironmentError(
            f"NVIDIA publishes the Triton server for Linux on x86_64 and aarch64, and this is {sys.platform} on "
            f"{machine}. {_ELSEWHERE}"
        )
    name, version = platform.libc_ver()
    if name != "glibc":
        raise TritonEnvironmentError(
            f"The Triton server needs glibc; this system has {name or 'another C library'}. {_ELSEWHERE}"
        )
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_GLIBC:
        raise TritonEnvironmentError(
            f"The Triton server needs glibc 2.35 or newer (Debian 12, Ubuntu 22.04); this system has {version}. "
            f"{_ELSEWHERE}"
        )


def _libpython_folder() -> Path:
    """Find the folder of this interpreter's shared library, which the server's Python backend loads."""
    library = _library()
    folders = [Path(str(sysconfig.get_config_var("LIBDIR"))), Path(sys.base_prefix) / "lib"]
    if multiarch := sysconfig.get_config_var("MULTIARCH"):
        folders += [Path("/usr/lib") / multiarch, Path("/lib") / multiarch]
    for folder in [*folders, *_linker_folders(library)]:
        if (folder / library).exists():
            return folder
    raise TritonEnvironmentError(
        f"The Triton server needs {library}, the shared library of this Python ({sys.base_prefix}), and it is not "
        f"there. On Debian or Ubuntu: apt install libpython{_python_version()}; on Fedora: dnf install "
        f"python{_python_version()}-libs; with pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install "
        f"{platform.python_version()}; a Python by uv has it. {_ELSEWHERE}"
    )


def _linker_folders(library: str) -> list[Path]:
    """Folders in which the dynamic linker's cache has the library."""
    linker = shutil.which("ldconfig", path=f"{os.defpath}:/sbin:/usr/sbin")
    if linker is None or ctypes.util.find_library(f"python{_python_version()}") is None:
        return []
    listed = subprocess.run([linker, "-p"], capture_output=True, text=True, check=False).stdout
    return [Path(line.split("=>")[1].strip()).parent for line in listed.splitlines() if line.split()[:1] == [library]]


def _install(target: Path) -> None:
    if find_spec("pip") is None:
        raise TritonEnvironmentError(f"pip is missing in {sys.prefix}: run `{sys.executable} -m ensurepip` first.")
    command = [sys.executable, "-m", "pip", "--python", str(target / "bin" / "python"), "install", "--no-deps"]
    done = subprocess.run([*command, "--disable-pip-version-check", "--quiet", *PACKAGES], check=False)
    if done.returncode != 0:
        raise TritonEnvironmentError(
            f"pip could not install {' '.join(PACKAGES)}; its message stands above. {_ELSEWHERE}"
        )


def _check_server(environment: TritonEnvironment) -> None:
    """Run the server's ``--help``, which loads every library that it is linked with."""
    server = f"{environment.server}/bin/tritonserver"
    done = subprocess.run([server, "--help"], env=environment.variables(), capture_output=True, text=True, check=False)
    if "--model-repository" not in done.stdout + done.stderr:
        raise TritonEnvironmentError(f"The Triton server does not run here: {done.stderr.strip()[-500:]}. {_ELSEWHERE}")


def _application() -> tuple[str, ...]:
    """The site-packages of the application's environment."""
    paths = sysconfig.get_paths()
    return tuple(dict.fromkeys((paths["purelib"], paths["platlib"])))


def _site_packages(target: Path) -> Path:
    return target / "lib" / f"python{_python_version()}" / "site-packages"


def _python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _library() -> str:
    return f"libpython{_python_version()}.so.1.0"


def main() -> None:
    """Make the environment and say where it is."""
    parser = argparse.ArgumentParser(description="Makes the isolated environment of the Triton server (about 223 MB).")
    parser.add_argument("--target", type=Path, default=Path(FOLDER), help="its folder (default: %(default)s)")
    target = parser.parse_args().target
    try:
        environment = make(target)
    except TritonEnvironmentError as error:
        sys.exit(f"Triton: {error}")
    sys.stdout.write(f"Triton's environment is ready in {environment.root}\n")


if __name__ == "__main__":
    main()
