"""The set-up behind the two commands, without installing anything."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """``scripts/setup_venv.py`` of a checkout of its own, whose ``.venv`` has a Python and nothing else."""
    monkeypatch.delenv("TORCH", raising=False)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    script = shutil.copy(ROOT / "scripts" / "setup_venv.py", tmp_path / "scripts")
    spec = importlib.util.spec_from_file_location("setup_venv", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    python(module, '[ "$1" = -c ] && [ -z "$2" ]')
    return module


def python(setup: ModuleType, script: str) -> None:
    """Let the Python of ``.venv`` be a shell script."""
    setup.PYTHON.parent.mkdir(parents=True, exist_ok=True)
    setup.PYTHON.write_text(f"#!/bin/sh\n{script}\n")
    setup.PYTHON.chmod(0o755)


def make(*arguments: str) -> str:
    """What make prints, also where these tests were started by make."""
    outer = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "ARGS", "TORCH", "PYTHON")
    environment = {k: v for k, v in os.environ.items() if k not in outer}
    command = ["make", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_what_is_ready_is_left_alone(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*_: object) -> None:
        raise AssertionError("the set-up ran again")

    setup.stamp("demo").write_text(setup.fingerprint(""))
    monkeypatch.setattr(setup, "create", touched)
    monkeypatch.setattr(setup, "pip", touched)
    monkeypatch.setattr(sys, "argv", ["setup", "demo"])
    setup.main()


def test_nothing_is_ready_before_it_was_set_up(setup: ModuleType) -> None:
    assert not setup.ready("demo", "")


def test_the_packages_of_the_tests_include_those_of_the_demo_only(setup: ModuleType) -> None:
    setup.stamp("dev").write_text(setup.fingerprint(""))
    assert setup.ready("demo", "")
    setup.stamp("dev").rename(setup.stamp("demo"))
    assert not setup.ready("dev", "")


def test_a_changed_declaration_is_installed_again(setup: ModuleType) -> None:
    setup.stamp("demo").write_text(setup.fingerprint(""))
    (setup.ROOT / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    assert not setup.ready("demo", "")


def test_an_unfinished_or_broken_environment_is_not_ready(setup: ModuleType) -> None:
    setup.stamp("demo").write_text(setup.fingerprint(""))
    setup.UNFINISHED.touch()
    assert not setup.ready("demo", "")
    setup.UNFINISHED.unlink()
    python(setup, "exit 1")
    assert not setup.ready("demo", "")


def test_a_build_of_torch_that_was_not_asked_for_will_not_do(setup: ModuleType) -> None:
    setup.stamp("demo").write_text(setup.fingerprint("cpu"))
    assert setup.ready("demo", "cpu")
    assert setup.ready("demo", "")
    assert not setup.ready("demo", "cuda")


def test_starting_over_keeps_its_mark_to_the_end(setup: ModuleType) -> None:
    setup.UNFINISHED.touch()
    setup.empty(setup.VENV)
    assert list(setup.VENV.iterdir()) == [setup.UNFINISHED]


@pytest.mark.parametrize(("build", "chosen"), [("cpu", "2.12.0+cpu"), ("cuda", "2.13.0")])
def test_torch_is_the_newest_of_the_build_asked_for(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, build: str, chosen: str
) -> None:
    offered = ["2.13.0", "2.12.0+cpu", "2.12.0"]

    def resolve(requirement: str) -> str | None:
        ruled_out = requirement.split("!=")[1:]
        return next((v for v in offered if v not in (r.rstrip(",") for r in ruled_out)), None)

    monkeypatch.setattr(setup, "resolve", resolve)
    option, path = setup.choose_torch(build)
    assert option == "--constraint"
    assert Path(path).read_text() == f"torch==={chosen}\n"
    assert setup.choose_torch("") == []


def test_a_build_that_is_not_on_offer_ends_with_advice(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup, "resolve", lambda requirement: None if "!=" in requirement else "2.13.0")
    with pytest.raises(SystemExit):
        setup.choose_torch("cpu")
    assert "PIP_EXTRA_INDEX_URL" in capsys.readouterr().err


def test_what_is_installed_without_its_dependencies_is_the_declared_release(setup: ModuleType) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert setup.BARE["dev"] == tuple(declared["speakers"])


def test_the_set_up_of_the_tests_brings_the_speaker_encoder_alone(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(setup, "pip", asked.append)
    setup.prepare("demo", "")
    assert asked == [["install", "--editable", "."]]
    asked.clear()
    setup.prepare("dev", "")
    assert asked == [
        ["install", "--no-deps", "resemblyzer==0.1.4"],
        ["install", "--editable", ".[dev]"],
    ]


def test_when_pip_fails_its_last_words_are_shown(
    setup: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    python(setup, "for i in $(seq 50); do echo line $i; done; exit 1")
    with pytest.raises(SystemExit):
        setup.pip(["install", "x"])
    said = capsys.readouterr().err
    assert "line 50" in said
    assert "line 20" not in said
    assert "line 1\n" in setup.LOG.read_text()


@pytest.fixture
def second(setup: ModuleType) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts the set-up of a checkout that is ready; ends it if the test does not."""
    setup.stamp("demo").write_text(setup.fingerprint(""))
    begun: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        command = [sys.executable, setup.ROOT / "scripts" / "setup_venv.py", "demo"]
        begun.append(subprocess.Popen(command, text=True, stdout=subprocess.PIPE))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def test_a_second_set_up_waits_for_the_first(
    setup: ModuleType, second: Callable[[], subprocess.Popen[str]]
) -> None:
    with setup.alone():
        waiting = second()
        assert waiting.stdout is not None
        assert "another set-up is running" in waiting.stdout.readline()
        assert waiting.poll() is None
    assert waiting.wait() == 0
    assert second().wait() == 0  # nobody is waited for once it has ended


def test_a_set_up_that_was_killed_is_not_waited_for(
    setup: ModuleType, second: Callable[[], subprocess.Popen[str]]
) -> None:
    hold = "import fcntl, sys; fcntl.flock(f := open(sys.argv[1], 'a'), 2); print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", hold, setup.LOCK], **pipes) as first:
        assert first.stdout is not None
        first.stdout.readline()
        waiting = second()
        assert waiting.stdout is not None
        assert "another set-up is running" in waiting.stdout.readline()
        first.kill()
        assert waiting.wait() == 0


def test_an_unknown_build_is_refused(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH", "tpu")
    monkeypatch.setattr(sys, "argv", ["setup", "demo"])
    with pytest.raises(SystemExit):
        setup.main()
    assert "expected cpu or cuda" in capsys.readouterr().err


def test_without_a_recent_python_it_says_what_to_install() -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "setup"],
        env={**os.environ, "PYTHON": "no-such-python"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no-such-python" in done.stderr
    assert "apt-get install python3" in done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_alone_tells_what_there_is_and_changes_nothing() -> None:
    said = make()
    assert all(f"make {target}" in said for target in ("demo", "test", "setup", "check"))


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_demo_does_not_install_what_only_tests_need() -> None:
    assert make("-n", "demo").split("\n")[:2] == ["scripts/setup demo", ".venv/bin/lmam demo "]
