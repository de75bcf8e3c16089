"""Prepare ``.venv`` with pip; called by ``scripts/setup``. Needs nothing but the standard library.

A stamp file in ``.venv`` records what was installed from which ``pyproject.toml``, so that a second run
installs nothing and needs no network. A first set-up that was interrupted is started over. Two at a time
would trample on each other's ``.venv``: the second waits for the first.
"""

from __future__ import annotations

import ctypes.util
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / ".venv.lock"
PYTHON = VENV / "bin" / "python"
LOG = VENV / "setup.log"
UNFINISHED = VENV / ".unfinished"
EXTRAS = {"demo": "", "dev": "[dev]"}
TORCH = "torch>=2.11,<2.14"  # as in pyproject.toml
# As in pyproject.toml. Only its file of weights is read: without what it depends on no compiler is needed.
BARE = {"demo": (), "dev": ("resemblyzer==0.1.4",)}
FREE = 4e9  # bytes that a set-up needs on disk with the CPU build of torch, with some to spare


def main() -> None:
    level = sys.argv[1] if len(sys.argv) > 1 else "demo"
    if level not in EXTRAS:
        stop(f"unknown set-up {level!r}; known: {', '.join(EXTRAS)}")
    build = os.environ.get("TORCH", "")
    if build not in ("", "cpu", "cuda"):
        stop(f"TORCH={build}: expected cpu or cuda")
    with alone():
        if not ready(level, build):
            prepare(level, build)


def prepare(level: str, build: str) -> None:
    """Make or renew ``.venv``."""
    began = time.monotonic()
    create()
    constraints = choose_torch(build)
    say(
        f"installing the packages of '{level}' into .venv (some minutes the first time; log: .venv/setup.log)"
    )
    if BARE[level]:
        pip(["install", "--no-deps", *BARE[level]])
    pip(["install", *constraints, "--editable", f".{EXTRAS[level]}"])
    UNFINISHED.unlink(missing_ok=True)
    for other in EXTRAS:
        if stamp(other).exists() and stamp(other).read_text() != fingerprint(build):
            stamp(other).unlink()
    stamp(level).write_text(fingerprint(build))
    say(f"ready after {time.monotonic() - began:.0f} s")
    report_torch()
    report_libraries()


@contextmanager
def alone() -> Iterator[None]:
    """Waits for another set-up of this checkout. The system lets go of the lock when a process ends, however."""
    try:
        lock = LOCK.open("a")
    except OSError:  # a checkout that may only be read: only what is ready can be used
        yield
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is running in this checkout: waiting for it to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ready(level: str, build: str) -> bool:
    """Whether ``.venv`` already holds what ``level`` needs; ``dev`` includes ``demo``."""
    if UNFINISHED.exists():
        return False
    wanted = {fingerprint(build)} if build else {fingerprint(b) for b in ("", "cpu", "cuda")}
    levels = ("demo", "dev") if level == "demo" else ("dev",)
    return runs() and any(stamp(at).exists() and stamp(at).read_text() in wanted for at in levels)


def stamp(level: str) -> Path:
    return VENV / f".ready-{level}"


def fingerprint(build: str) -> str:
    """Changes with the declared packages, the asked-for torch and the folder (a moved .venv is broken)."""
    declared = (ROOT / "pyproject.toml").read_bytes()
    return hashlib.sha256(b"\0".join((declared, build.encode(), str(ROOT).encode()))).hexdigest()


def runs() -> bool:
    """Whether ``.venv`` has a Python that starts."""
    return PYTHON.exists() and subprocess.run([PYTHON, "-c", ""], capture_output=True).returncode == 0


def create() -> None:
    """Make ``.venv`` unless a finished one is there."""
    if VENV.exists() and (UNFINISHED.exists() or not runs()):
        say("the .venv found here is unfinished or broken: starting over")
        UNFINISHED.touch()
        empty(VENV)
    elif VENV.exists():
        return
    if shutil.disk_usage(ROOT).free < FREE:
        say(f"warning: less than {FREE / 1e9:.0f} GB free here; the set-up may not fit")
    if importlib.util.find_spec("ensurepip") is None:
        install_venv_package()
    version = ".".join(map(str, sys.version_info[:3]))
    say(f"making .venv with Python {version}")
    VENV.mkdir(exist_ok=True)
    UNFINISHED.touch()
    made = subprocess.run([sys.executable, "-m", "venv", VENV], capture_output=True, text=True)
    if made.returncode:
        stop(f"python -m venv failed:\n{made.stdout}{made.stderr}\n{venv_advice()}")


def empty(folder: Path) -> None:
    """Remove what ``folder`` holds but the mark, which must outlive an interruption."""
    for item in folder.iterdir():
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        elif item != UNFINISHED:
            item.unlink()


def install_venv_package() -> None:
    """Debian keeps the part of Python that makes environments in a package of its own."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        stop(f"this Python cannot make virtual environments: {venv_advice()}")
    package = venv_package()
    say(f"this Python cannot make virtual environments; as root: apt-get install {package}")
    apt("update")
    got = apt("install", "-y", "--no-install-recommends", package)
    if got.returncode:
        stop(f"that failed; {venv_advice()}")


def apt(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(["apt-get", *arguments], env=environment, capture_output=True, check=False)


def venv_package() -> str:
    return f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"


def venv_advice() -> str:
    return f"install it with 'apt-get install {venv_package()}' and run make again"


def choose_torch(build: str) -> list[str]:
    """The pip options that make it install the asked-for build of torch; none when any will do.

    CPU builds carry the local version ``+cpu``. pip is asked what it would install; a version of the other
    kind is ruled out and pip asked again.
    """
    if not build:
        return []
    requirement, version = TORCH, resolve(TORCH)
    while version is not None and version.endswith("+cpu") != (build == "cpu"):
        requirement += f",!={version}"
        version = resolve(requirement)
    if version is None:
        stop(
            f"pip is offered no {build} build of {TORCH}.\n"
            f"Name the wheel index that PyTorch's own install page gives for {build}, then run it again:\n"
            f"  PIP_EXTRA_INDEX_URL=<that address> make setup TORCH={build}"
        )
    say(f"torch {version} is the {build} build")
    chosen = VENV / "torch.txt"
    # Three equals signs: to pip, 2.13.0+cpu would satisfy "==2.13.0".
    chosen.write_text(f"torch==={version}\n")
    return ["--constraint", str(chosen)]


def resolve(requirement: str) -> str | None:
    """The version that pip would install for ``requirement``; None when there is none."""
    report = VENV / "torch.json"
    command = [str(PYTHON), "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed", "--no-deps"]
    command += ["--report", str(report), requirement]
    asked = subprocess.run(command, capture_output=True, check=False)
    if asked.returncode:
        return None
    found: str = json.loads(report.read_text())["install"][0]["metadata"]["version"]
    return found


def pip(arguments: list[str]) -> None:
    """Run pip, its output in the log and only its latest line on a terminal."""
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", *arguments, "--progress-bar", "off"]
    lines: list[str] = []
    pipe, both = subprocess.PIPE, subprocess.STDOUT
    with (
        LOG.open("w") as log,
        subprocess.Popen(command, cwd=ROOT, text=True, stdout=pipe, stderr=both) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            lines = [*lines[-14:], line.rstrip()]
            if sys.stdout.isatty():
                sys.stdout.write(f"\r\033[K  {line.strip()[:76]}")
                sys.stdout.flush()
    if sys.stdout.isatty():
        sys.stdout.write("\r\033[K")
    if process.returncode:
        stop(
            "pip could not install the packages. Its last words (all of them: .venv/setup.log):\n  "
            + "\n  ".join(lines)
            + "\nIs there a network, or a folder of wheels (PIP_FIND_LINKS=...)? Then run make again."
        )


def report_torch() -> None:
    code = "import torch; print(torch.__version__, torch.cuda.is_available())"
    found = subprocess.run([PYTHON, "-W", "ignore", "-c", code], capture_output=True, text=True)
    if found.returncode:
        say("warning: torch does not start; 'lmam doctor' says more")
        return
    version, cuda = found.stdout.split()
    say(f"torch {version}, " + ("with a GPU" if cuda == "True" else "no GPU in use"))


def report_libraries() -> None:
    """Say which system library is missing and what works without it."""
    if ctypes.util.find_library("portaudio") is None:
        say(
            "PortAudio is missing: microphones will not work; files, standard input and cameras do.\n"
            "        To add it: apt-get install libportaudio2"
        )


def say(message: str) -> None:
    sys.stdout.write(f"set-up: {message}\n")
    sys.stdout.flush()


def stop(message: str) -> NoReturn:
    sys.stderr.write(f"set-up: {message}\n")
    sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
