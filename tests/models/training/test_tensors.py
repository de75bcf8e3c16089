"""Flat tensors of a corpus: what is absent, what is scaled by what, and which rows a batch holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.data.corpus import Conversation, Corpus
from models.training.config import MODALITIES, TrainingError
from models.training.tensors import Split, scales, tensors
from tests.models.training.corpora import SIZES, corpus


def split(name: str = "train") -> Split:
    toy = corpus()
    return tensors(toy, MODALITIES, scales(toy, MODALITIES)).splits[name]


def test_a_batch_holds_the_conversations_it_names() -> None:
    toy = corpus()
    dialogue, labels_BN = split().batch(torch.tensor([3, 0]))
    for b, which in enumerate((3, 0)):
        c = toy.splits["train"][which]
        assert dialogue.valid_BN[b].sum() == len(c)
        assert labels_BN[b, : len(c)].tolist() == c.labels_N.tolist()
        assert dialogue.speaker_BN[b, : len(c)].tolist() == list(c.order_of_appearance())
        absent = [bool(np.isnan(c.features["text"][i]).all()) for i in range(len(c))]
        assert (~dialogue.present_BNM[b, : len(c), 0]).tolist() == absent
    longest = max(len(toy.splits["train"][i]) for i in (3, 0))
    assert dialogue.text_BNT.shape == (2, longest, SIZES["text"])


def test_padding_has_no_label_and_no_modality() -> None:
    part = split()
    dialogue, labels_BN = part.batch(torch.arange(len(part)))
    assert (~dialogue.valid_BN).any()
    assert (labels_BN[~dialogue.valid_BN] == -1).all()
    assert not dialogue.present_BNM[~dialogue.valid_BN].any()


def test_everything_is_standardised_by_train_alone() -> None:
    """Over train, mean 0 and deviation 1; another test split changes nothing of train."""
    part = split()
    rows_UD = part.visual_UV[part.present_UM[:, 2]]
    assert rows_UD.mean().abs() < 0.05
    assert (rows_UD.std() - 1).abs() < 0.1
    toy, other = corpus(), corpus(seed=1)
    mixed = replace(toy, splits={**toy.splits, "test": other.splits["test"]})
    assert torch.equal(
        tensors(mixed, MODALITIES, scales(mixed, MODALITIES)).splits["train"].text_UT, part.text_UT
    )


def test_a_missing_value_is_the_mean_and_an_absent_row_is_absent() -> None:
    rows_ND = np.array([[1.0, 5.0], [3.0, np.nan], [np.nan, np.nan]], np.float32)
    c = Conversation("c", ("0", "1", "2"), ("a",) * 3, np.zeros(3, np.int64), features={"audio": rows_ND})
    toy = Corpus("toy", ("x",), {"train": (c,)}, "ours")
    part = tensors(toy, ("audio",), scales(toy, ("audio",))).splits["train"]
    assert part.present_UM[:3, 1].tolist() == [True, True, False]
    assert part.audio_UA[:3].tolist() == [[-1, 0], [1, 0], [0, 0]]
    assert part.text_UT.shape[1] == 0


def test_an_infinite_value_is_as_good_as_missing() -> None:
    """Extractors write them; one would make every other value of its column the same."""
    rows_ND = np.array([[1.0, 5.0], [3.0, np.nan], [np.nan, np.nan]], np.float32)
    loud_ND = np.array([[1.0, 5.0], [3.0, np.inf], [-np.inf, np.nan]], np.float32)

    def read(x_ND: np.ndarray, name: str) -> Split:
        c = Conversation("c", ("0", "1", "2"), ("a",) * 3, np.zeros(3, np.int64), features={name: x_ND})
        toy = Corpus("toy", ("x",), {"train": (c,)}, "ours")
        return tensors(toy, (name,), scales(toy, (name,))).splits["train"]

    for name, width in (("audio", 1), ("text", 200)):  # the latter as an encoder's
        want, got = (read(np.tile(x_ND, (1, width)), name) for x_ND in (rows_ND, loud_ND))
        assert torch.equal(got.present_UM, want.present_UM)
        assert torch.equal(got.audio_UA, want.audio_UA)
        assert torch.equal(got.text_UT, want.text_UT)


def test_the_voice_is_normalised_causally_where_its_measures_are_known() -> None:
    """The first utterance does not change with the later ones; the absolute level is left out."""

    def first(later: float) -> list[float]:
        rows_ND = np.array([[1.0, 200, 70], [later, later * 100, 70]], np.float32)
        c = Conversation("c", ("0", "1"), ("a", "a"), np.zeros(2, np.int64), features={"audio": rows_ND})
        names = {"audio": ("duration", "avg_pitch", "avg_intensity")}
        toy = Corpus("toy", ("x",), {"train": (train,), "test": (c,)}, "ours", measures=names)
        part = tensors(toy, ("audio",), scales(toy, ("audio",))).splits["test"]
        assert part.audio_UA.shape[1] == 2
        row: list[float] = part.audio_UA[0].tolist()
        return row

    rows_ND = np.array([[1.0, 180, 60], [2.0, 260, 71], [0.5, 120, 66]], np.float32)
    train = Conversation("t", ("0", "1", "2"), ("a",) * 3, np.zeros(3, np.int64), features={"audio": rows_ND})
    assert first(2.0) == first(3.0)


def test_each_speaker_is_heard_against_what_was_heard_of_them() -> None:
    """Two voices an octave apart: each is near its own mean in the end, as one they stay far from it."""
    rows_ND = np.array([[1.0, 120], [1.0, 240]] * 20, np.float32)
    names = {"audio": ("duration", "avg_pitch")}

    def read(who: str) -> torch.Tensor:
        c = Conversation("c", tuple(map(str, range(40))), tuple(who), np.zeros(40, np.int64))
        c = c.with_features(audio=rows_ND)
        toy = Corpus("toy", ("x",), {"train": (c,)}, "ours", measures=names)
        return tensors(toy, ("audio",), scales(toy, ("audio",))).splits["train"].audio_UA[:-1, 1]

    apart, together = read("ab" * 20), read("a" * 40)
    assert apart[-2:].abs().max() < 0.7 < together[-2:].abs().min()


def test_errors_of_an_extractor_are_cut_off() -> None:
    """Five deviations are the most that any value says."""
    rows_ND = np.zeros((200, 1), np.float32)
    rows_ND[0] = 1e6
    c = Conversation("c", tuple(map(str, range(200))), ("a",) * 200, np.zeros(200, np.int64))
    toy = Corpus("toy", ("x",), {"train": (c.with_features(visual=rows_ND),)}, "ours")
    assert tensors(toy, ("visual",), scales(toy, ("visual",))).splits["train"].visual_UV.max() == 5


def test_measures_can_be_chosen_and_a_wrong_one_is_named() -> None:
    toy = replace(corpus(), measures={"audio": ("duration", "avg_pitch", "pitch_std", "mean_hnr")})
    chosen = scales(toy, ("audio",), ("mean_hnr", "duration"))
    assert chosen["audio"].measures == ("mean_hnr", "duration")
    with pytest.raises(TrainingError, match="no measure 'jitter'; it has duration"):
        scales(toy, ("audio",), ("jitter",))


def test_learnt_features_with_names_are_standardised_like_any_others() -> None:
    toy = replace(corpus(), measures={"audio": ("f1", "f2", "f3", "f4")})
    assert scales(toy, ("audio",))["audio"] == scales(corpus(), ("audio",))["audio"]
    with pytest.raises(TrainingError, match="chooses among the voice measures duration"):
        scales(toy, ("audio",), ("f1",))


def test_a_modality_that_no_utterance_of_train_has_is_named() -> None:
    toy = corpus()
    mute = tuple(c.with_features(audio=np.full((len(c), 4), np.nan, np.float32)) for c in toy.splits["train"])
    with pytest.raises(TrainingError, match="no utterance of train has audio"):
        scales(replace(toy, splits={**toy.splits, "train": mute}), ("text", "audio"))


def test_a_modality_that_the_corpus_lacks_is_named() -> None:
    toy = corpus()
    train = tuple(replace(c, features={"text": c.features["text"]}) for c in toy.splits["train"])
    with pytest.raises(TrainingError, match=r"toy has no visual; it has text"):
        scales(replace(toy, splits={"train": train}), ("text", "visual"))
    words = tuple(replace(c, features={}) for c in train)
    with pytest.raises(TrainingError, match="toy has no text; it has words alone"):
        scales(replace(toy, splits={"train": words}), ("text",))


def test_encoder_features_are_left_as_they_are() -> None:
    rows_ND = np.random.default_rng(0).normal(3, 2, (4, 384)).astype(np.float32)
    c = Conversation("c", tuple("0123"), ("a",) * 4, np.zeros(4, np.int64), features={"text": rows_ND})
    toy = Corpus("toy", ("x",), {"train": (c,)}, "ours")
    assert scales(toy, ("text",)) == {}
    assert np.array_equal(tensors(toy, ("text",), {}).splits["train"].text_UT[:4].numpy(), rows_ND)


def test_a_modality_can_be_taken_away() -> None:
    part = split()
    less = part.without("text", "visual")
    assert not less.present_UM[:, 0].any()
    assert not less.present_UM[:, 2].any()
    assert torch.equal(less.present_UM[:, 1], part.present_UM[:, 1])


def test_evaluation_sees_every_conversation_once_and_long_ones_first() -> None:
    part = split()
    order = torch.cat(list(part.by_length(5)))
    assert sorted(order.tolist()) == list(range(len(part)))
    assert (part.length_B[order].diff() <= 0).all()
