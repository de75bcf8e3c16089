"""The second stage on a small made-up corpus: it learns, it masks, it measures, its file loads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.batches import Example, alone, collate, presence
from models.calibration import Temperatures
from models.checkpoint import CheckpointError, read_meta
from models.dialogue import MODALITIES
from models.fusion_data import Bank, pairs, plain, smiled, spoken, without_context
from models.fusion_measures import AFTER, FACE, PLAIN, SPOKEN, after_smiles, calibrated, predict, subsets
from models.fusion_weights import as_stored, load_fusion, save_fusion
from models.hosts.gru import Config, GruLmam
from models.meld import LABELS
from models.metrics import scores
from models.normalise import Prior
from models.ship import copy
from models.synthetic_faces import Faces
from models.train_fusion import (
    FusionTrainer,
    Recipe,
    calibrate_noise,
    first_stage,
    trained_before,
)
from models.train_meld import Setup

C = len(LABELS)
RECIPE = Recipe(epochs=5, dialogues=8, lr=1e-2)


SMALL: dict[str, Any] = {
    "text": 12,
    "visual": 10,
    "dim": 16,
    "rank": 4,
    "window": 4,
    "dropout": 0.0,
}


def small_net() -> GruLmam:
    torch.manual_seed(0)
    return GruLmam(Config(**SMALL, audio=3))


class Acted:
    """Stands in for `models.synthetic_voices.Voices`: the embedding says the label, the measures nothing."""

    dim = 8

    def speak(self, example: Example, generator: torch.Generator) -> Example:
        n = len(example.texts)
        voice_NE = torch.eye(8)[example.labels_N] + 0.3 * torch.randn(n, 8, generator=generator)
        return replace(example, audio_NA=torch.zeros(n, 3), voice_NE=voice_NE)


def corpus(seed: int, noise: float, n: int = 32) -> Bank:
    """Conversations of five utterances whose text says the label, with ``noise``; the voice says nothing."""
    g = torch.Generator().manual_seed(seed)
    examples, text = [], []
    for _ in range(n):
        labels = torch.randint(0, C, (5,), generator=g)
        heard = torch.ones(5, dtype=torch.bool)
        examples.append(Example(("x",) * 5, (0, 1, 0, 1, 2), labels, torch.randn(5, 3, generator=g), heard))
        text.append(torch.eye(12)[labels] + noise * torch.randn(5, 12, generator=g))
    return Bank(examples, text, text)


def faces() -> Faces:
    """Every label has a clean face of its own."""
    return Faces(tuple(torch.eye(10)[i].repeat(3, 1) for i in range(C)))


def test_every_subset_of_the_modalities_is_learnt() -> None:
    """After a short training, words alone, faces alone and all together are twice as good as guessing."""
    net, train = small_net(), corpus(0, 0.3)
    trainer = FusionTrainer(net, train, recipe=RECIPE, noise=torch.zeros(12), seed=0, faces=faces())
    losses = list(trainer.run())
    assert losses[-1] < losses[0]
    test = corpus(1, 0.3)
    figures = subsets(net, test, pairs(test, faces(), seed=1))
    for name in ("text", "face (synthetic)", "all (synthetic)"):
        assert figures[name]["accuracy"] > 2 * 100 / C


def test_synthetic_voices_are_learnt_beside_real_measures() -> None:
    """Alone and without an embedding: a net that heard acted voices in part of its conversations reads them,
    and says the same as ever of a voice that the network did not hear."""
    torch.manual_seed(0)
    net, train, acted = GruLmam(Config(**SMALL, audio=3, voice=8)), corpus(0, 0.3, n=64), Acted()
    recipe = replace(RECIPE, synthetic_voice=0.5, epochs=8)
    options: dict[str, Any] = {"recipe": recipe, "noise": torch.zeros(12), "faces": faces()}
    list(FusionTrainer(net, train, seed=0, voices=acted, **options).run())  # type: ignore[arg-type]
    test = corpus(1, 0.3)
    voiced = spoken(test, acted, seed=1)  # type: ignore[arg-type]
    figures = subsets(net, test, pairs(test, faces(), seed=1), voiced=voiced)
    assert {*SPOKEN, PLAIN} <= set(figures)
    assert figures["synthetic voice"]["accuracy"] > 2 * 100 / C
    assert figures["voice"]["accuracy"] < 2 * 100 / C
    temperatures = calibrated(net, test, pairs(test, faces(), seed=1), voiced)
    alone_ = calibrated(net, test, pairs(test, faces(), seed=1))
    assert temperatures.table()["audio"] != alone_.table()["audio"]
    assert temperatures.table()["text"] == alone_.table()["text"]


def test_a_voice_is_heard_where_the_words_say_nothing() -> None:
    """Utterances of every label in words of a neutral one: the net that met such pairs hears the voice."""
    train, test, acted = corpus(0, 0.0, n=64), corpus(1, 0.0), Acted()
    neutral = torch.eye(12)[LABELS.index("neutral")]
    voiced = spoken(test, acted, seed=1)  # type: ignore[arg-type]
    empty = plain(voiced, seed=2)
    assert all((text == neutral).all() for text in empty.gold)
    right = {}
    for share in (0.0, 0.3):
        torch.manual_seed(0)
        net = GruLmam(Config(**SMALL, audio=3, voice=8))
        recipe = replace(RECIPE, synthetic_voice=0.5, plain_words=share, epochs=8)
        options: dict[str, Any] = {"recipe": recipe, "noise": torch.zeros(12), "faces": faces()}
        list(FusionTrainer(net, train, seed=0, voices=acted, **options).run())  # type: ignore[arg-type]
        right[share] = scores(*predict(net, empty))["accuracy"]
    assert right[0.3] > right[0.0] + 20


def test_the_first_stage_goes_on_with_an_input_for_the_voice_network(tmp_path: Path) -> None:
    """What it says of words and measures stays the same, whatever the new input holds."""
    setup = Setup(("duration", "avg_pitch", "mean_hnr"), 0, SMALL, None, {})  # type: ignore[arg-type]
    before, bank = small_net(), corpus(0, 0.1, n=3)
    torch.save({"net": before.state_dict()}, tmp_path / "fusion.pt")
    after = first_stage(tmp_path / "fusion.pt", setup, voice=8)
    voiced = spoken(bank, Acted(), seed=0)  # type: ignore[arg-type]
    plain = replace(bank, examples=[replace(e, voice_NE=None) for e in voiced.examples])
    torch.testing.assert_close(predict(after, voiced)[0], predict(before, plain)[0])


def test_a_trained_fusion_is_trained_on_and_another_face_is_learnt_anew(tmp_path: Path) -> None:
    """With the face network it knows all stays; with another one the map of the face alone is new."""
    before, path = small_net(), tmp_path / "fusion.safetensors"
    facts = {"labels": list(LABELS), "encoders": {"face": "known"}}
    prior = Prior(("a", "b", "c"), (0.0,) * 3, (1.0,) * 3)
    save_fusion(path, before, prior, Temperatures.same(1.0), facts)
    stored = load_fusion(path).net.state_dict()
    same, anew = trained_before(path, "known").state_dict(), trained_before(path, "another").state_dict()
    assert all(torch.equal(same[k], stored[k]) for k in stored)
    assert {k for k in stored if not torch.equal(anew[k], stored[k])} == {
        k for k in stored if k[:7] == "maps.2."
    }
    assert all(p.requires_grad for p in trained_before(path, "known").parameters())


def test_what_has_no_label_is_not_measured() -> None:
    bank = corpus(0, 0.1, n=2)
    bank.examples[0].labels_N[2] = -1
    logits, labels = predict(small_net(), bank)
    assert (len(logits), len(labels), int(labels.min()) >= 0) == (9, 9, True)


def test_training_is_the_same_for_the_same_seed() -> None:
    """Two runs of one seed end in the same weights."""
    ends = []
    for _ in range(2):
        net = small_net()
        recipe = replace(RECIPE, epochs=1)
        list(
            FusionTrainer(
                net, corpus(0, 0.3), recipe=recipe, noise=torch.ones(12), seed=3, faces=faces()
            ).run()
        )
        ends.append(net.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(ends[0].values(), ends[1].values(), strict=True))


def test_the_noise_makes_train_as_uncertain_as_dev() -> None:
    """Features cleaner on train than on dev get noise; features as noisy get none or next to none."""
    net, clean, rough = small_net(), corpus(0, 0.05), corpus(1, 0.5)
    list(FusionTrainer(net, clean, recipe=RECIPE, noise=torch.zeros(12), seed=0, dropout=False).run())
    noise = calibrate_noise(net, clean, rough)
    assert noise.mean() > 0.05
    few = predict(net, clean, (True, False, False), noise=noise)
    loss = torch.nn.functional.cross_entropy(*few)
    assert loss >= torch.nn.functional.cross_entropy(*predict(net, rough, (True, False, False))) * 0.95
    assert calibrate_noise(net, rough, clean).max() == 0


def test_pairs_have_noise_and_stay_the_same() -> None:
    """About 60 % plus a seventh of the rest show the utterance's own label; one seed, one pairing."""
    bank = corpus(0, 0.0, n=400)
    shown = torch.cat(pairs(bank, faces(), seed=1)).argmax(1)
    labels = torch.cat([e.labels_N for e in bank.examples])
    other = labels != LABELS.index("neutral")
    assert float((shown == labels)[other].float().mean()) == pytest.approx(0.62, abs=0.04)
    neutral = float((shown == LABELS.index("neutral"))[other].float().mean())
    assert neutral == pytest.approx(0.27, abs=0.04)
    assert torch.equal(torch.cat(pairs(bank, faces(), seed=1)).argmax(1), shown)


def test_a_face_may_keep_its_expression_whatever_is_said() -> None:
    """Held at every utterance, a face shows what the first one showed; held at half, about that often."""
    labels = torch.arange(C).repeat(200)
    generator = torch.Generator().manual_seed(0)
    assert len(set(faces().pair(labels, generator, held=1.0).argmax(1).tolist())) == 1
    shown = faces().pair(labels, generator, held=0.5).argmax(1)
    free = faces().pair(labels, generator).argmax(1)
    stays, by_chance = ((s[1:] == s[:-1]).float().mean() for s in (shown, free))
    assert float(stays) == pytest.approx(0.5 + 0.5 * float(by_chance), abs=0.05)


def test_faces_that_are_seen_for_a_while_come_once_and_leave_once() -> None:
    """In every conversation of such a training faces stand in one stretch; the words stay."""
    recipe = replace(
        RECIPE, no_text=0, no_voice=0, no_face=0, conversation_without=(0, 0, 0), face_for_a_while=1
    )
    bank = corpus(0, 0.1, n=50)
    options: dict[str, Any] = {"recipe": recipe, "noise": torch.zeros(12), "faces": faces()}
    trainer = FusionTrainer(small_net(), bank, seed=0, **options)
    present = torch.stack([trainer._present(e) for e in bank.examples])
    seen = present[:, :, FACE].int()
    turns = seen.diff(dim=1, prepend=torch.zeros(50, 1), append=torch.zeros(50, 1)).abs().sum(1)
    assert (turns == 2).all()
    assert 0.3 < float(seen.float().mean()) < 0.7
    assert present[:, :, 0].all()


def test_words_are_measured_after_smiles_that_left() -> None:
    """Joyful faces in three utterances, none in the three that are measured, the words the same; faces
    that are never in the picture change nothing."""
    bank = corpus(0, 0.3, n=20)
    long = replace(
        bank,
        examples=[
            Example(
                e.texts * 2,
                e.speakers * 2,
                e.labels_N.repeat(2),
                e.audio_NA.repeat(2, 1),
                e.heard_N.repeat(2),
            )
            for e in bank.examples
        ],
        gold=[t.repeat(2, 1) for t in bank.gold],
        noisy=[t.repeat(2, 1) for t in bank.noisy],
    )
    assert smiled(bank, faces(), seed=0).bank.examples == []  # five utterances are too few
    smiles = smiled(long, faces(), seed=0)
    for example, seen, visual in zip(smiles.bank.examples, smiles.seen, smiles.visual, strict=True):
        at = seen.nonzero().flatten().tolist()
        assert at == list(range(at[0], at[0] + 3))
        assert (example.labels_N >= 0).nonzero().flatten().tolist() == [at[-1] + 1 + i for i in range(3)]
        assert (visual.argmax(1) == LABELS.index("joy")).all()
    net = small_net()
    found = after_smiles(net, smiles, Temperatures.same(1.0))
    assert found[AFTER[0]] != found[AFTER[1]]
    blind = after_smiles(net, replace(smiles, seen=[s & False for s in smiles.seen]), Temperatures.same(1.0))
    assert blind[AFTER[0]] == blind[AFTER[1]]


def test_without_context_every_utterance_is_alone() -> None:
    """The control keeps every utterance once, with its own words, voice, label and speaker."""
    bank = corpus(0, 0.1, n=4)
    flat = without_context(bank)
    assert len(flat.examples) == 20
    assert [e.speakers for e in flat.examples[:5]] == [(0,), (1,), (0,), (1,), (2,)]
    torch.testing.assert_close(torch.cat(flat.gold), torch.cat(bank.gold))
    assert [len(list(alone(e))) for e in bank.examples] == [5] * 4


def test_collate_joins_what_the_voice_network_says_where_it_is_read() -> None:
    """A model with an input for it gets embedding and flag, zeros where it heard nothing."""
    bank = corpus(0, 0.1, n=2)
    voiced = replace(bank.examples[0], voice_NE=torch.ones(5, 4))
    group, present = [voiced, bank.examples[1]], [presence(e) for e in bank.examples]
    dialogue, _ = collate(group, bank.gold, present, visual_dim=10, voice_dim=4)
    assert dialogue.audio_BNA.shape == (2, 5, 3 + 4 + 1)
    assert dialogue.audio_BNA[0, :, 3:].eq(1).all()
    assert dialogue.audio_BNA[1, :, 3:].eq(0).all()
    plain, _ = collate(group, bank.gold, present, visual_dim=10)
    torch.testing.assert_close(plain.audio_BNA, dialogue.audio_BNA[..., :3])


def test_collate_pads_with_what_is_not_valid() -> None:
    """Shorter conversations are padded at the end, their padding neither valid nor present."""
    long, short = corpus(0, 0.1, n=1), next(alone(corpus(1, 0.1, n=1).examples[0]))
    present = [presence(long.examples[0], audio=False), presence(short)]
    dialogue, labels = collate(
        [long.examples[0], short], [long.gold[0], long.gold[0][:1]], present, visual_dim=10
    )
    assert dialogue.valid_BN.tolist() == [[True] * 5, [True] + [False] * 4]
    assert dialogue.present_BNM[0, 0].tolist() == [True, False, False]
    assert not dialogue.present_BNM[1, 1:].any()
    assert labels.shape == (2, 5)
    assert dialogue.visual_BNV.shape == (2, 5, 10)


def test_a_stored_fusion_says_the_same(tmp_path: Path) -> None:
    """Weights, labels, temperatures and prior come back; the network is in eval mode."""
    net, prior = (
        as_stored(small_net()),
        Prior(("duration", "avg_pitch", "mean_hnr"), (1.0, 5.0, 6.0), (1.0, 0.3, 3.0)),
    )
    path = tmp_path / "fusion.safetensors"
    temperatures = Temperatures((1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7))
    save_fusion(path, net, prior, temperatures, {"labels": list(LABELS), "name": "small", "version": "1"})
    again, bank = load_fusion(path), corpus(0, 0.1, n=3)
    torch.testing.assert_close(predict(again.net, bank)[0], predict(net, bank)[0])
    assert (again.labels, again.temperatures, again.prior) == (LABELS, temperatures, prior)
    assert (again.name, again.version, again.audio_measures) == ("small", "1", prior.measures)
    assert not again.net.training
    assert len(MODALITIES) == 3


def test_every_subset_gets_the_temperature_that_undoes_its_overconfidence() -> None:
    """A net whose logits are blown up needs as much more, whatever is present."""
    net, bank = small_net(), corpus(1, 0.5)
    list(
        FusionTrainer(net, corpus(0, 0.3), recipe=RECIPE, noise=torch.zeros(12), seed=0, faces=faces()).run()
    )
    seen = pairs(bank, faces(), seed=1)
    plain = calibrated(net, bank, seen)
    with torch.no_grad():
        last = net.head[-1]
        last.weight.mul_(2)  # type: ignore[union-attr,operator]
        last.bias.mul_(2)  # type: ignore[union-attr,operator]
    doubled = calibrated(net, bank, seen)
    inside = [(a, b) for a, b in zip(plain.values, doubled.values, strict=True) if 0.25 < a < 2.4]
    assert len(inside) > 2
    assert all(b == pytest.approx(2 * a, rel=0.01) for a, b in inside)
    assert plain.table()["none"] == plain.table()["text+audio"]


@pytest.mark.parametrize("facts", [{"labels": ["joy"]}, {"labels": list(LABELS), "temperatures": 0.0}, {}])
def test_a_file_that_contradicts_itself_is_refused(facts: dict[str, object], tmp_path: Path) -> None:
    """Too few labels, an impossible temperature or no labels at all: CheckpointError names the file."""
    prior = Prior(("duration", "avg_pitch", "mean_hnr"), (1.0, 5.0, 6.0), (1.0, 0.3, 3.0))
    path = tmp_path / "fusion.safetensors"
    save_fusion(path, small_net(), prior, Temperatures.same(1.0), facts)
    if "temperatures" in facts:
        config = read_meta(path)["config"]
        copy(path, path, {"config": {**config, "temperatures": {**config["temperatures"], "text": 0.0}}})
    with pytest.raises(CheckpointError, match=r"fusion\.safetensors"):
        load_fusion(path)
