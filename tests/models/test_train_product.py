"""The text-only set for commercial use: which labels it learns, what it reads, and what its files say."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from models import train_product as product
from models.data.sentences import ANY_OF, Part, Sentences
from models.encoders.text import TextEncoder
from models.fusion_weights import load_fusion
from models.meld import LABELS
from tests.models.encoders.test_text import small_encoder

GO = ("joy", "love", "annoyance", "curiosity", "nervousness", "disgust", "remorse", "neutral")
SAID = ("good thing", "love this", "so annoying", "how come", "oh dear", "yuck", "my fault", "it is late")
CONFIG = """
corpora = ["goemotions"]
[train]
epochs = 2
most = 100
neutral = 1.0
batch = 8
encoder_lr = 1e-2
head_lr = 1e-2
weight_decay = 0.0
warm_up = 0.1
smoothing = 0.0
clip = 1.0
[train.noise]
plain_share = 0.0
error_share = 0.0
error_rates = [0.0, 0.1]
[fusion]
epochs = 2
lr = 1e-2
dialogues = 2
noisy_text = 0.0
one_speaker = 0.0
"""


def rows(*labels: set[str]) -> Sentences:
    targets_NK = np.array([[name in row for name in GO] for row in labels], np.float32)
    part = Part(tuple(f"text {i}" for i in range(len(labels))), (0,) * len(labels), targets_NK)
    return Sentences("go", ANY_OF, GO, dict.fromkeys(("train", "dev", "test"), part), "ours", "yes")


def test_labels_become_the_group_of_their_authors_and_mixed_sentences_are_left_out() -> None:
    made = product.seven(
        rows({"joy", "love"}, {"annoyance", "joy"}, {"curiosity"}, {"neutral"}, {"remorse"}), random.Random(0)
    )
    part = made.splits["train"]
    assert part.texts == ("text 0", "text 2", "text 3", "text 4")
    assert [LABELS[k] for k in part.targets_NK.argmax(1)] == ["joy", "surprise", "neutral", "sadness"]
    assert (part.targets_NK.sum(1) == 1).all()


def test_conversations_hold_every_sentence_once_with_words_alone() -> None:
    part = product.seven(rows(*({name} for name in GO), {"joy"}, {"love"}), random.Random(0)).splits["train"]
    made = product.conversations(part, 3, random.Random(0))
    assert [len(e.texts) for e in made] == [8, 2]
    assert sorted(t for e in made for t in e.texts) == sorted(part.texts)
    assert not any(e.heard_N.any() for e in made)
    for e in made:
        for text, label in zip(e.texts, e.labels_N.tolist(), strict=True):
            assert part.targets_NK[part.texts.index(text), label] == 1


def write(folder: Path) -> None:
    """GoEmotions with each label's own words, six times."""
    (folder / "goemotions").mkdir(parents=True)
    (folder / "goemotions" / "labels.txt").write_text("\n".join(GO) + "\n")
    for split, times in (("train", 6), ("dev", 1), ("test", 1)):
        with gzip.open(folder / "goemotions" / f"{split}.tsv.gz", "wt") as file:
            for n in range(times):
                mark = "" if split == "train" else f" {split}"
                file.writelines(f"{text} {n}{mark}\t{k}\tid{n}\n" for k, text in enumerate(SAID))


@pytest.mark.timeout(120)  # torch's optimiser is loaded
def test_one_command_makes_a_set_that_loads_and_says_what_it_may_be_used_for(tmp_path: Path) -> None:
    write(tmp_path / "data")
    config, out = tmp_path / "c.toml", tmp_path / "out"
    config.write_text(CONFIG)

    def make() -> None:
        product.train(tmp_path / "data", out, config=config, most=40, start=small_encoder)

    make()
    fusion, encoder = load_fusion(out / "fusion.safetensors"), TextEncoder.load(out / "text.safetensors")
    assert fusion.meta["commercial_use"] == encoder.meta["commercial_use"] == "yes"
    assert fusion.meta["sentences"] == 40
    assert not any("MELD" in name for name in fusion.meta["data_licences"])
    assert fusion.reads == (True, False, False)
    assert fusion.labels == LABELS
    assert fusion.net.config.text == encoder.dim
    assert set(fusion.meta["metrics"]) == {"GoEmotions dev", "GoEmotions test", "GoEmotions test, always joy"}
    card = (out / "README.md").read_text()
    assert "| commercial use | yes |" in card
    assert f"| GoEmotions test | {fusion.meta['metrics']['GoEmotions test']['weighted_f1']:.1f} |" in card
    make()  # finished: the encoder is not trained again
    again = load_fusion(out / "fusion.safetensors")
    for name, tensor in fusion.net.state_dict().items():
        assert torch.equal(tensor, again.net.state_dict()[name])


def test_one_who_always_says_the_same_is_right_where_it_is() -> None:
    found = product.always(1, torch.tensor([1, 1, 0, 4]))
    assert found["accuracy"] == 50


def test_missing_data_and_a_wrong_configuration_end_with_two(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert product.main(["--data", str(tmp_path), "--out", out]) == 2
    config = tmp_path / "c.toml"
    config.write_text(CONFIG.replace("[fusion]", "[fusions]"))
    with pytest.raises(ValueError, match=r"c\.toml: not a configuration of this command"):
        product.train(tmp_path, tmp_path / "out", config=config, start=small_encoder)
