"""A configuration error names the file, the key and what is known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from streamer.config import RunConfig, load, override, plugin
from streamer.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "live.toml"
    path.write_text(text)
    return path


def test_a_file_becomes_one_frozen_value(tmp_path: Path) -> None:
    config = load(write(tmp_path, 'purpose = "personal"\n[[source]]\nkind = "webcam"\n'), environment={})
    assert config.purpose == "personal"
    assert config.source == ({"kind": "webcam"},)
    with pytest.raises(ValueError, match="frozen"):
        config.device = "cuda"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("purpse = 1", "unknown key 'purpse'; known: purpose, consent"),
        ("[join]\nmax_wat = 1", "unknown key 'join.max_wat'; known: max_wait, silent_windows"),
        ('purpose = "fun"', "purpose: .*'research'.*got 'fun'"),
        ("a = ", "not valid TOML"),
        ("[join]\nmax_wait = -1", "join.max_wait: .*greater than or equal to 0"),
        ('conversation = "a/b"', "conversation: "),
        ('purpose = "workplace"', "prohibited"),
        ('[source]\nkind = "webcam"\n', "source: there may be several: write .*source.*, with two brackets"),
    ],
)
def test_errors_say_what_to_fix(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s)live.toml.*{says}"):
        load(write(tmp_path, text), environment={})


def test_a_workplace_with_an_exemption_is_accepted(tmp_path: Path) -> None:
    config = load(write(tmp_path, 'purpose = "workplace"\nexemption = "safety"'), environment={})
    assert config.exemption == "safety"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: no such"):
        load(tmp_path / "nowhere.toml")


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[join]\nmax_wait = 1.0\nhistory = 1.0\nsilent_window = 1.0")
    config = load(
        path, ["join.max_wait=3"], {"LMAM__JOIN__MAX_WAIT": "2", "LMAM__JOIN__HISTORY": "2", "OTHER": "x"}
    )
    assert (config.join.max_wait, config.join.history, config.join.silent_window) == (3, 2, 1)


def test_one_key_of_the_transcriber_can_be_set_alone(tmp_path: Path) -> None:
    config = load(write(tmp_path, ""), ["transcriber.language=en", "vad.path=x.onnx"], {})
    assert config.transcriber == {"kind": "auto", "language": "en"}
    assert config.vad == {"kind": "silero", "path": "x.onnx"}
    assert load(write(tmp_path, ""), ["transcriber.kind=none"], {}).transcriber == {"kind": "none"}


def test_values_are_toml_or_else_words() -> None:
    table = override({}, ["a.b=true", "a.c=two words", "d=[1, 2]", 'e="7"'], {})
    assert table == {"a": {"b": True, "c": "two words"}, "d": [1, 2], "e": "7"}


def test_a_setting_reaches_into_a_list_of_tables() -> None:
    table = {"sink": [{"kind": "mqtt", "url": "mqtt://a"}]}
    assert override(table, ["sink.0.url=mqtt://b"], {})["sink"][0]["url"] == "mqtt://b"
    assert table["sink"][0]["url"] == "mqtt://a"


@pytest.mark.parametrize(
    "setting", ["x", "=1", "sink.5.url=x", "sink.url.x=1", "sink.0=x", "purpose.a=1", "a..b=1", ".a=1"]
)
def test_a_setting_that_fits_nowhere_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        override({"purpose": "demo", "sink": [{"kind": "mqtt"}]}, [setting], {})


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"kind": "nope"}, r"\[\[sink\]\] 0: no kind 'nope'; known: .*jsonl"),
        ({"path": "x"}, "needs a kind; known: .*mqtt"),
        ({"kind": "jsonl", "pth": "x"}, "unknown key 'pth'; known: .*path"),
        ({"kind": "../x"}, "no kind"),
        ({"kind": "__init__"}, "no kind"),
    ],
)
def test_a_kind_that_is_not_there_or_not_understood_is_explained(table: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        plugin("streamer.sinks", table, "live.toml [[sink]] 0")


def test_a_package_that_a_kind_needs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "somekinds").mkdir()
    (tmp_path / "somekinds" / "__init__.py").touch()
    (tmp_path / "somekinds" / "needs.py").write_text("import a_package_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="needs the package 'a_package_nobody_has'"):
        plugin("somekinds", {"kind": "needs"}, "live.toml")
    sys.modules.pop("somekinds", None)


@pytest.mark.parametrize("name", ["LMAM__", "LMAM____", "LMAM__SEGMENTER__", "LMAM____X"])
def test_a_variable_that_names_no_key_is_explained(name: str) -> None:
    with pytest.raises(ConfigError, match=f"environment variable {name}: names no key; expected LMAM__KEY="):
        override({}, [], {name: "x"})


@pytest.mark.parametrize("number", ["inf", "nan", "-inf"])
def test_a_number_without_end_is_refused_wherever_it_stands(number: str, tmp_path: Path) -> None:
    for key in ("segmenter.max_speech", "source.0.pace", "join.max_wait"):
        with pytest.raises(ConfigError, match=rf"{key}: expected a finite number \(got {number}\)"):
            load(write(tmp_path, '[[source]]\nkind = "media"'), [f"{key}={number}"], {})
    with pytest.raises(ConfigError, match=r"\[\[source\]\] 0 .*: pace: expected a finite number"):
        plugin("streamer.sources", {"kind": "media", "path": "x", "pace": float(number)}, "[[source]] 0")


def test_every_key_is_described() -> None:
    for model in (RunConfig, *(f.annotation for f in RunConfig.model_fields.values())):
        for name, field in getattr(model, "model_fields", {}).items():
            assert field.description, name


@pytest.mark.parametrize("path", sorted(Path("configs").glob("*.toml")), ids=lambda p: p.name)
def test_the_example_configurations_are_valid_and_declare_nothing_for_the_user(path: Path) -> None:
    assert load(path, environment={}).purpose is None
    config = load(path, ["purpose=personal", "consent=self"], {})
    for package, tables in (
        ("streamer.sources", config.source),
        ("streamer.sinks", config.sink),
        ("streamer.transcribers", (config.transcriber,)),
        ("streamer.vad", (config.vad,)),
    ):
        for table in tables:
            plugin(package, table, path.name)


@pytest.mark.parametrize("options", [{"url": "htp://user:hush@host"}, {"url": 7}, {"password": ["hush"]}])
def test_what_may_hold_a_password_is_not_shown(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))) as error:
        plugin("streamer.sinks", {"kind": "mqtt", **options}, "[[sink]] 0")
    assert "hush" not in str(error.value)


def test_a_kind_without_keys_says_so() -> None:
    with pytest.raises(ConfigError, match="unknown key 'media'; known: none"):
        plugin("streamer.transcribers", {"kind": "none", "media": "x"}, "[transcriber]")
