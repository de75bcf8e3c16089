"""What may know of what: models nothing of the runtime, the runtime's core nothing of its plugins."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DEVICES = {"cv2", "sounddevice", "av", "aiomqtt", "amqtt"}
PLUGINS = DEVICES | {"onnxruntime", "pocketsphinx", "faster_whisper", "ctranslate2", "silero_vad", "paho"}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MACHINE = re.compile(r"(?<![\w.~])/(?:work|root|home|opt|Users|mnt)/\w+")
BUILDS = re.compile(r"(?<![\w.~])/home/(?:user|you|me)\b")  # what a manual may say


def modules(package: str, *, deep: bool) -> list[str]:
    pattern = "**/*.py" if deep else "*.py"
    found = sorted((ROOT / package).glob(pattern))
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in found)
    return [name.removesuffix(".__init__") for name in names]


def imported_by(names: Iterable[str]) -> set[str]:
    """The top-level packages that a fresh Python holds after importing ``names``."""
    code = "import sys, importlib\nfor n in sys.argv[1:]: importlib.import_module(n)\n"
    code += "print(*{m.partition('.')[0] for m in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code, *names], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def tracked(*suffixes: str) -> list[Path]:
    """Files that are, or are about to be, part of the repository."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [p for p in paths if p.is_file() and (not suffixes or p.suffix in suffixes)]


@pytest.mark.timeout(120)  # every module, in a fresh process
def test_models_know_nothing_of_the_runtime_nor_of_devices() -> None:
    pulled = imported_by(modules("models", deep=True))
    assert pulled & (DEVICES | {"streamer"}) == set()


def test_no_module_of_models_names_the_runtime() -> None:
    """A lazy import would pass the test above."""
    for path in (ROOT / "models").rglob("*.py"):
        named = re.search(r"^\s*(?:from|import) streamer\b", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert named is None, f"{path}: {named}"


@pytest.mark.timeout(120)
def test_the_core_of_the_runtime_loads_no_plugin() -> None:
    core = [name for name in modules("streamer", deep=False) if not name.endswith("__main__")]
    assert imported_by(core) & PLUGINS == set()


@pytest.mark.timeout(120)
def test_the_command_line_starts_without_torch() -> None:
    assert imported_by(["streamer.cli"]) & (PLUGINS | {"torch", "scipy"}) == set()


def test_every_link_inside_the_documents_leads_somewhere() -> None:
    checked = 0
    for path in tracked(".md"):
        for target in LINK.findall(path.read_text(encoding="utf-8")):
            file = target.partition("#")[0]
            if not file or re.match(r"[a-z]+:", target):
                continue
            checked += 1
            assert (path.parent / file).exists(), f"{path.relative_to(ROOT)}: {target} leads nowhere"
    assert checked


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    for path in tracked(".py", ".md", ".toml", ".sh", ".json", ".txt", ".cfg", ".vtt", ".yaml", ""):
        if path == Path(__file__):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            place = MACHINE.search(BUILDS.sub("", line))
            assert place is None, f"{path.relative_to(ROOT)}:{number}: {place.group()}"
