"""A run's file: what is wrong is named with the file, the key and the nearest known ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from models.encoders.hub.spec import parse as parse_name
from models.span import FULL, Span
from models.training.config import RunConfig, TrainingError, _keys, parse, read
from tests.models.training.corpora import write_toml

ROOT = Path(__file__).parents[3]
CONFIGS = sorted((ROOT / "configs" / "models").glob("*-*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_configuration_of_the_repository_can_be_read(path: Path) -> None:
    """Its name says corpus, host and fusion."""
    config = read(path)
    assert path.stem == f"{config.data.corpus}-{config.model.host}-{config.model.fusion}"


@pytest.mark.parametrize("name", ["big_text", "big_voice", "big_face"])
def test_the_examples_of_big_encoders_can_be_read(name: str) -> None:
    """And the names in them, those of their commands in the comments included, are names of encoders."""
    path = ROOT / "configs" / "encoders" / f"{name}.toml"
    assert read(path).model.context == "past"
    modality = {"--voice": "audio", "--face": "visual"}
    named = re.findall(r"(--voice|--face) (\S+:\S+)", path.read_text())
    assert name == "big_text" or named
    for option, encoder in named:
        assert parse_name(encoder.rstrip(")"), modality[option]).name


def test_the_hosts_and_fusions_of_the_repository_s_configurations_exist() -> None:
    from models.fusions import FUSIONS
    from models.hosts import HOSTS

    assert CONFIGS
    for path in CONFIGS:
        model = read(path).model
        assert model.host in HOSTS
        assert model.fusion in FUSIONS


def test_an_unknown_key_is_named_with_the_nearest_known_ones(tmp_path: Path) -> None:
    path = write_toml(tmp_path / "x.toml", '[data]\ncorpus = "mosi"\n[train]\nepoch = 3\n')
    with pytest.raises(TrainingError) as said:
        read(path)
    assert str(path) in str(said.value)
    assert "'train.epoch'" in str(said.value)
    assert "did you mean train.epochs?" in str(said.value)


def test_a_key_in_the_wrong_table_is_led_to_the_right_one() -> None:
    with pytest.raises(TrainingError, match=r"unknown key 'model\.lr'; did you mean train\.lr\?"):
        parse({"data": {"corpus": "mosi"}, "model": {"lr": 1}}, "x")


def test_a_key_like_no_other_is_answered_with_those_of_its_table() -> None:
    with pytest.raises(TrainingError, match=r"known: corpus, options, text, modalities"):
        parse({"data": {"corpus": "mosi", "qqq": 1}}, "x")


@pytest.mark.parametrize(
    ("table", "key", "said"),
    [
        ({}, "data", "is missing"),
        ({"data": {"corpus": "x", "modalities": ["smell"]}}, "data.modalities.0", "'smell'"),
        ({"data": {"corpus": "x", "modalities": []}}, "data", "one or more of text, audio, visual"),
        ({"data": {"corpus": "x", "text": "frozen", "word_errors": [0.0]}}, "word_errors", "above 0"),
        ({"data": {"corpus": "x", "train_word_errors": 0.1}}, "data", 'not "packaged"'),
        ({"data": {"corpus": "x", "text": "hf:a?pool=max"}}, "data", "pool=max; expected mean or cls"),
        ({"data": {"corpus": "x"}, "train": {"lr": 0}}, "train.lr", "greater than 0"),
        ({"data": {"corpus": "x"}, "train": {"modality_dropout": {"text": 1.0}}}, "train", "below 1"),
        ({"data": {"corpus": "x"}, "train": {"loss": "focal", "smoothing": 0.1}}, "train", "no smoothing"),
        ({"data": {"corpus": "x"}, "model": {"context": "future"}}, "model.context", "'past' or 'full'"),
        ({"data": {"corpus": "x"}, "model": {"dim": 10**9}}, "model.dim", "less than or equal to 4096"),
        ({"data": {"corpus": "x"}, "train": {"lr": float("inf")}}, "train.lr", "finite"),
        ({"data": {"corpus": "x"}, "seed": -1}, "seed", "greater than or equal to 0"),
    ],
)
def test_an_impossible_value_is_named(table: dict[str, Any], key: str, said: str) -> None:
    with pytest.raises(TrainingError) as error:
        parse(table, "file.toml")
    assert key in str(error.value)
    assert said in str(error.value)
    assert "file.toml" in str(error.value)


@pytest.mark.parametrize("text", ["[data", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(TrainingError, match=r"x\.toml: not readable TOML"):
        read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no such configuration"):
        read(tmp_path / "none.toml")


def test_the_shipped_recipe_is_led_to_its_command() -> None:
    with pytest.raises(TrainingError, match="recipe of the shipped weights"):
        read(ROOT / "configs" / "models" / "meld.toml")


def test_context_becomes_a_span() -> None:
    run = parse({"data": {"corpus": "x"}, "model": {"window": 7}}, "x")
    assert run.model.span == Span(7, 0)
    assert run.replace(**{"model.context": "full"}).model.span == FULL


def test_the_digest_is_of_values_and_not_of_how_they_are_written() -> None:
    """A default spelt out and the seed change nothing, any other value does."""
    run = parse({"data": {"corpus": "x"}}, "x")
    same = parse({"data": {"corpus": "x", "text": "packaged"}, "train": {"epochs": 60}, "seed": 4}, "y")
    assert run.digest() == same.digest()
    assert run.digest() != run.replace(**{"train.epochs": 61}).digest()
    assert run.digest() != run.replace(**{"model.fusion_options": {"rank": 8}}).digest()


def test_a_changed_copy_is_checked_again_and_the_original_stays() -> None:
    run = RunConfig.model_validate({"data": {"corpus": "x"}})
    assert run.replace(**{"model.dim": 32}).model.dim == 32
    assert run.model.dim == 128
    with pytest.raises(TrainingError, match=r"model\.dimm"):
        run.replace(**{"model.dimm": 32})


def test_the_manual_lists_every_key() -> None:
    """And none that does not exist."""
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    table = page.partition("| key | default | what |")[2].partition("\n\n")[0]
    listed = set(re.findall(r"`([a-z_.]+)`", "".join(line.split("|")[1] for line in table.splitlines()[2:])))
    known = {k for k in _keys(RunConfig, "") if k not in ("data", "model", "train")}
    assert listed == known
