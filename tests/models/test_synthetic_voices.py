"""Synthetic voices: one actor a speaker, splits apart, each voice against what was heard of it, as live."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.batches import Example
from models.encoders.prosody import USED_MEASURES
from models.encoders.voice import Config, Reference, VoiceNet
from models.encoders.voice_statistics import COUNT
from models.meld import LABELS
from models.normalise import Prior, Running
from models.synthetic_voices import EXPRESSIONS, Clips, Voices, noise_of, read, voices

C = len(LABELS)
PRIOR = Prior(("avg_pitch", "duration"), (5.0, 1.0), (0.3, 0.5))


def net() -> VoiceNet:
    torch.manual_seed(0)
    return VoiceNet(Config(width=16, embedding=8)).eval().requires_grad_(False)


def clips(actors: int = 3, without: int = -1) -> Clips:
    """Two clips of each label and actor; the first statistic is the label, the second the actor."""
    rows = [(a, c) for a in range(actors) for c in range(C) for _ in range(2) if c != without]
    statistics = np.random.default_rng(0).normal(0, 0.1, (2, len(rows), COUNT))
    measures = np.full((2, len(rows), len(USED_MEASURES)), 150.0)
    for i, (actor, label) in enumerate(rows):
        statistics[:, i, :2] = label, actor
        measures[:, i] += 10 * actor + label
    return Clips(statistics, measures, np.array([c for _, c in rows]), tuple(f"a{a}" for a, _ in rows))


def spoken(of: Clips, **shares: float) -> Voices:
    return Voices(net(), of, PRIOR, torch.zeros(8), **shares)


def example(n: int = 6, label: int | None = None) -> Example:
    labels = torch.arange(n) % C if label is None else torch.full((n,), label)
    who = tuple(i % 2 for i in range(n))
    return Example(("x",) * n, who, labels, torch.zeros(n, 2), torch.zeros(n, dtype=torch.bool))


def test_a_voice_is_measures_and_embedding_of_the_same_clips_as_live() -> None:
    """Both are what the running statistics and the network's reference make of the clips, in their order."""
    made, said = spoken(clips()), example()
    generator = torch.Generator().manual_seed(3)
    again = torch.Generator().manual_seed(3)
    found = made.speak(said, generator)
    rows = made._cast(said, again)
    version = torch.randint(2, (len(rows),), generator=again).tolist()
    running, known = Running(PRIOR), {0: Reference.unknown(), 1: Reference.unknown()}
    which = [USED_MEASURES.index(m) for m in PRIOR.measures]
    for i, (v, row, who) in enumerate(zip(version, rows, said.speakers, strict=True)):
        z, running = running.push(made.clips.measures_VNA[v, row, which], who)
        reading = made.net.read(made.clips.statistics_VNS[v, row], known[who])
        known[who] = known[who].plus(reading.statistics_S)
        assert found.voice_NE is not None
        np.testing.assert_allclose(found.audio_NA[i], z, rtol=1e-5)
        np.testing.assert_allclose(found.voice_NE[i], reading.embedding, atol=1e-5)
    assert found.heard_N.all()


def test_everybody_keeps_the_voice_of_one_actor() -> None:
    made, said = spoken(clips()), example(20)
    rows = made._cast(said, torch.Generator().manual_seed(0))
    actors = [{made.clips.actors[r] for r in rows[k::2]} for k in (0, 1)]
    assert [len(a) for a in actors] == [1, 1]
    assert actors[0] != actors[1]


def test_pairs_have_noise() -> None:
    """About 60 % plus a seventh of 15 % show the utterance's own label, 27 % are neutral."""
    made = spoken(clips())
    joy = LABELS.index("joy")
    rows = made._cast(example(4000, joy), torch.Generator().manual_seed(0))
    shown = made.clips.label_N[rows]
    assert (shown == joy).mean() == pytest.approx(0.62, abs=0.03)
    assert (shown == LABELS.index("neutral")).mean() == pytest.approx(0.27, abs=0.03)


def test_what_an_actor_never_said_is_said_neutrally_and_an_unlabelled_one_anyhow() -> None:
    surprise = LABELS.index("surprise")
    made = spoken(clips(without=surprise))
    for label in (surprise, -1):
        rows = made._cast(example(50, label), torch.Generator().manual_seed(0))
        assert surprise not in made.clips.label_N[rows]


def test_noise_and_what_is_missing_are_drawn_as_told() -> None:
    made = spoken(clips(), no_measures=0.3, no_embedding=0.2)
    rough = replace(made, noise_E=torch.full((8,), 0.5))
    said = example(2000)
    clean, noisy = (v.speak(said, torch.Generator().manual_seed(0)) for v in (made, rough))
    assert clean.voice_NE is not None
    assert noisy.voice_NE is not None
    silent = clean.voice_NE.isnan().all(1)
    assert silent.float().mean() == pytest.approx(0.2, abs=0.03)
    assert (clean.audio_NA == 0).all(1).float().mean() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(clean.heard_N, ~(silent & (clean.audio_NA == 0).all(1)))
    apart = (noisy.voice_NE - clean.voice_NE)[~silent]
    assert float(apart.std()) == pytest.approx(0.5, abs=0.02)


def test_the_noise_makes_what_was_learnt_as_uncertain_as_what_is_new() -> None:
    """A head that is right about one set and wrong about another: embeddings of the first get noise."""
    train, valid = clips(), clips()
    network = net()
    with torch.no_grad():  # the embedding becomes the label, the head reads it
        x_NS = train.statistics_VNS[0]
        seen = network.embed(x_NS, [Reference.unknown().plus(x) for x in x_NS])[0]
        names = [LABELS.index(EXPRESSIONS[name]) for name in network.config.labels]
        target = torch.from_numpy(train.label_N)
        ridge = seen.clamp_min(0).T @ seen.clamp_min(0) + 1e-3 * torch.eye(8)
        goal = torch.eye(C)[target][:, names]
        network.head[2].weight.copy_(30 * torch.linalg.solve(ridge, seen.clamp_min(0).T @ goal).T)  # type: ignore[union-attr,operator]
    other = replace(valid, label_N=(valid.label_N + 1) % C)
    assert noise_of(network, train, other).mean() > 0
    assert noise_of(network, other, train).max() == 0


def test_an_unknown_split_and_missing_data_are_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no split 'valid'"):
        read(tmp_path, "valid", tmp_path, print)
    with pytest.raises(ValueError, match=r"ravdess/manifest\.csv"):
        voices(tmp_path, net(), PRIOR, tmp_path, print)
