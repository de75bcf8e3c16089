"""Names of big encoders: taken apart without touching a file, or refused with what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.encoders.hub.spec import Spec, is_named, parse


def test_a_name_alone_has_usual_options() -> None:
    assert parse("hf:microsoft/deberta-v3-large", "text") == Spec("text", "hf", "microsoft/deberta-v3-large")
    assert parse("torchaudio:HUBERT_BASE", "audio").source == "torchaudio"
    assert parse("timm:timm/resnet18.a1_in1k", "visual").name == "timm/resnet18.a1_in1k"
    assert [is_named(n) for n in ("hf:x", "timm:x", "frozen", "text.safetensors")] == [
        True,
        True,
        False,
        False,
    ]


def test_options_follow_the_question_mark() -> None:
    spec = parse("hf:./a model?pool=cls&layers=4&tokens=64&batch=8&device=cpu&revision=v1", "text")
    assert (spec.name, spec.pool, spec.layers, spec.tokens) == ("./a model", "cls", 4, 64)
    assert (spec.batch, spec.device, spec.revision) == (8, "cpu", "v1")


def test_a_directory_is_told_from_a_name_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By being there, or by being written as only a path is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "roberta").mkdir()
    paths = ("roberta", "./missing", "/missing", "~/missing", "a/b/c")
    assert all(parse(f"hf:{name}", "text").is_path for name in paths)
    assert not any(parse(f"hf:{name}", "text").is_path for name in ("roberta-large", "microsoft/wavlm-large"))
    assert parse("hf:./roberta", "text").short == parse(f"hf:{tmp_path}/roberta", "text").short == "roberta"
    assert parse("hf:microsoft/wavlm-large", "audio").short == "wavlm-large"


def test_batches_and_devices_are_no_part_of_what_features_depend_on() -> None:
    one, other = parse("hf:a?batch=4&device=cpu", "text"), parse("hf:b", "text")
    assert one.depends == other.depends
    for option in ("pool=cls", "layers=2", "tokens=64"):
        assert parse(f"hf:a?{option}", "text").depends != one.depends


@pytest.mark.parametrize(
    ("name", "modality", "words"),
    [
        (
            "frozen",
            "audio",
            "'frozen' names no encoder of modality audio; expected hf:NAME or torchaudio:NAME",
        ),
        ("torchaudio:X", "text", "expected hf:NAME"),
        ("hf:", "text", "expected hf:NAME"),
        ("hf:?pool=cls", "text", "expected hf:NAME"),
        ("hf:a?pool=max", "text", "pool=max; expected mean or cls"),
        ("hf:a?pool=cls", "audio", "no option 'pool'; there are batch, device, layers, revision"),
        ("hf:a?layers=0", "text", "layers=0; expected a number from 1 to 64"),
        ("hf:a?tokens=many", "text", "tokens=many; expected a number from 1 to 8192"),
        ("hf:a?device=tpu", "text", "device=tpu; expected auto or cpu or cuda"),
    ],
)
def test_what_is_wrong_is_said(name: str, modality: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        parse(name, modality)
