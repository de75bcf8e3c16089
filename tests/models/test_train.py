"""The first stage: it learns, a killed run goes on where it was, and the command says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models import train_meld
from models.batches import Example
from models.data.check import sentence
from models.encoders.text import TextEncoder
from models.normalise import Prior
from models.train import main
from models.train_meld import MINILM, Corpus, Features, Setup, Trainer, Variant, facts, noisy
from tests.data import ROOT, shared_data
from tests.models.encoders.test_text import small_encoder

CONFIG = ROOT / "configs" / "models" / "meld.toml"
GLAD, ANGRY = "I love it, this is so wonderful!", "I hate you, get out of here now!"


def corpus() -> Corpus:
    """Two kinds of utterance in twelve conversations: glad ones and angry ones."""
    from models.asr_noise import WordErrors

    labels = torch.tensor([1, 3])
    heard = torch.ones(2, dtype=torch.bool)
    examples = [
        Example((GLAD, ANGRY), (0, 1), labels, torch.full((2, 7), float(i)), heard) for i in range(12)
    ]
    prior = Prior(("duration",), (1.0,), (1.0,))
    return Corpus(examples, examples[:2], examples[:2], prior, WordErrors([GLAD, ANGRY]))


def trainer(folder: Path, variant: Variant, seed: int = 0) -> Trainer:
    """A very short run: two epochs of four steps."""
    from dataclasses import replace

    setup = Setup.read(CONFIG)
    recipe = replace(setup.recipe, epochs=2, frozen_epochs=2, dialogues=3, frozen_dialogues=3)
    net = {**setup.net, "dim": 16, "rank": 4, "text": 16}
    return Trainer(
        corpus(),
        replace(setup, recipe=recipe, net=net),
        variant,
        seed,
        folder,
        Features(small_encoder(), frozen=variant.frozen),
    )


def test_no_label_is_learnt_whose_words_stand_in_dev_or_test() -> None:
    """Of MELD's 9,989 there are 14 such; dev and test keep all of theirs."""
    corpus = Corpus.read(shared_data(), Setup.read(CONFIG).measures)
    kept = {"train": 9989 - 14, "dev": 1109, "test": 2610}
    for split, count in kept.items():
        labels_N = torch.cat([e.labels_N for e in getattr(corpus, split)])
        assert int((labels_N >= 0).sum()) == count
    heard = {sentence(t) for e in (*corpus.dev, *corpus.test) for t in e.texts} - {""}
    for e in corpus.train:
        assert [label < 0 for label in e.labels_N.tolist()] == [sentence(t) in heard for t in e.texts]


def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    """Stopped after half an epoch and started again, the weights at the end are bit for bit the same."""
    variant = Variant(frozen=True)
    whole = trainer(tmp_path / "whole", variant)
    list(whole.run())
    killed = trainer(tmp_path / "killed", variant)
    for step, _, _ in killed.run():
        if step == 2:
            break
    again = trainer(tmp_path / "killed", variant, seed=0)
    steps = [step for step, _, _ in again.run()]
    assert steps[0] == 3
    pairs = zip(whole.net.state_dict().values(), again.net.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_fine_tuning_moves_the_encoder_and_measures_its_int8_file(tmp_path: Path) -> None:
    """The layers move, the word table does not; the row has every figure and its file loads."""
    run = trainer(tmp_path, Variant())
    before = {k: v.clone() for k, v in run.encoder.net.state_dict().items()}
    list(run.run())
    after = run.encoder.net.state_dict()
    assert torch.equal(before["word.weight"], after["word.weight"])
    assert not torch.equal(before["layers.1.up.weight"], after["layers.1.up.weight"])
    row = run.finish()
    assert {"dev", "test", "test_noisy", "test_voice_masked", "temperature"} <= set(row)
    assert TextEncoder.load(tmp_path / "text.safetensors").meta["commercial_use"] == "no"


def test_an_encoder_that_went_on_from_another_names_its_data(tmp_path: Path) -> None:
    """Each once, with its licence; it has dropout and gradient again."""
    about = {
        "data": ["all-MiniLM-L6-v2 (initial weights)", "meld train", "goemotions train"],
        "data_licences": {"all-MiniLM-L6-v2": "Apache-2.0", "meld": "?", "goemotions": "CC BY 4.0"},
    }
    small_encoder().save(tmp_path / "text.safetensors", about, int8=False)
    again = TextEncoder.trainable(tmp_path / "text.safetensors")
    assert again.net.drop.p == 0.1
    assert all(p.requires_grad for p in again.net.parameters())
    assert torch.equal(again.net.word.weight, small_encoder().net.word.weight)
    found = facts(again.meta)
    assert found["data"][1:] == ["goemotions train", "MELD train (Poria et al. 2019)"]
    assert found["data_licences"] == {**MINILM, "goemotions": "CC BY 4.0", **facts()["data_licences"]}


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        (Variant(), "full"),
        (Variant(frozen=True), "frozen"),
        (Variant(no_context=True, text_only=True), "no-context+text-only"),
    ],
)
def test_a_variant_names_what_it_leaves_out(variant: Variant, name: str) -> None:
    """The name is what the results file calls it."""
    assert variant.name == name


def test_noisy_text_is_never_empty() -> None:
    """A deleted utterance would be an error of the encoder: something is kept."""
    c = corpus()
    assert all(t for e in noisy(c.train, c.errors, 1.0) for t in e.texts)


def test_a_configuration_error_names_the_file(tmp_path: Path) -> None:
    """A misspelt key or a missing file: ValueError with the path."""
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(CONFIG.read_text().replace("head_lr", "haed_lr"))
    with pytest.raises(ValueError, match=r"wrong\.toml"):
        Setup.read(wrong)
    with pytest.raises(ValueError, match=r"none\.toml"):
        Setup.read(tmp_path / "none.toml")


def test_missing_data_ends_the_command_with_2(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The message says what --data must name."""
    assert main(["meld", "--data", str(tmp_path), "--threads", "1"]) == 2
    assert "--data must name" in caplog.text


def test_help_helps(capsys: pytest.CaptureFixture[str]) -> None:
    """Each command explains itself."""
    for command in ("meld", "fusion"):
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
        assert "--seeds" in capsys.readouterr().out


def test_the_noise_of_the_evaluation_is_that_of_the_brief() -> None:
    """Thirty per cent word errors."""
    assert pytest.approx(0.30) == train_meld.NOISY
