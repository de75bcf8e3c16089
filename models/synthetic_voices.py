"""Voices for conversations whose sound is not here: SYNTHETIC pairs of a MELD utterance and an acted clip.

Of MELD only tables of measures are available here, so the voice network's branch of the fusion learns from
pairs that never happened: everybody in a conversation gets the voice of one actor of RAVDESS or EmoDB, and
an utterance of emotion e a clip in which they expressed e, with noise in the pairing as for the faces
(`models.synthetic_faces`). Measures and embedding are made in the order of the conversation, each voice
against what was heard of it so far, as live. Splits stay apart, by the actors of the voice network's own
split: its train actors meet MELD train, valid dev, test test. No figure measured on such pairs is a result
on MELD.

The network knows its train actors better than others, and a fusion trained on what it says of them would
trust it too much; so their embeddings carry noise (`noise_of`).

Shape suffixes: N utterances or clips, A measures, S statistics, E embedding, K expressions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.batches import Example
from models.data.speech import clips
from models.encoders.prosody import USED_MEASURES
from models.encoders.voice import Reference, VoiceNet
from models.encoders.voice_statistics import Heard, statistics
from models.meld import LABELS
from models.normalise import Prior, Running
from models.perception.voice_features import TRAINING, heard
from models.synthetic_faces import NEUTRAL, SAME, SPLITS
from models.train_voice import CORPORA, SHIPPED

Floats = NDArray[np.float64]

EXPRESSIONS = {
    "neutral": "neutral",
    "happy": "joy",
    "sad": "sadness",
    "angry": "anger",
    "surprised": "surprise",
    "fearful": "fear",
    "disgust": "disgust",
}  # of the voice network, and what MELD calls them


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """Clips with their label (index into `models.meld.LABELS`) and actor.

    ``statistics_VNS``: the first version is the clip as it is, others are in rooms, noise and narrow lines;
    ``measures_VNA`` are raw, in the order of `USED_MEASURES`.
    """

    statistics_VNS: Floats
    measures_VNA: Floats
    label_N: NDArray[np.int64]
    actors: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Voices:
    """What may be said by whom in one split.

    ``noise_E`` is the standard deviation of what is added to embeddings; ``prior`` normalises the measures;
    of the utterances, a share of ``no_measures`` has no measures and one of ``no_embedding`` no embedding.
    """

    net: VoiceNet
    clips: Clips
    prior: Prior
    noise_E: Tensor
    no_measures: float = 0.0
    no_embedding: float = 0.0

    @property
    def dim(self) -> int:
        """E."""
        return self.net.config.embedding

    def speak(self, example: Example, generator: torch.Generator) -> Example:
        """``example`` with synthetic voices instead of its own."""
        n = len(example.texts)
        said = self._cast(example, generator)
        version_N = torch.randint(len(self.clips.measures_VNA), (n,), generator=generator).numpy()
        z_NA = self._measures(said, version_N, example.speakers)
        voice_NE = self._embeddings(said, version_N, example.speakers)
        voice_NE = voice_NE + self.noise_E * torch.randn(voice_NE.shape, generator=generator)
        without_N2 = torch.rand(n, 2, generator=generator) < torch.tensor(
            [self.no_measures, self.no_embedding]
        )
        z_NA = torch.where(without_N2[:, :1], 0.0, z_NA)
        voice_NE = torch.where(without_N2[:, 1:], torch.nan, voice_NE)
        return replace(example, audio_NA=z_NA, heard_N=~without_N2.all(1), voice_NE=voice_NE)

    def _cast(self, example: Example, generator: torch.Generator) -> list[int]:
        """A clip for each utterance: one actor for each speaker, with noise in the pairing.

        An actor who has no clip of an expression (EmoDB has no surprise) says it neutrally.
        """
        actors = sorted(set(self.clips.actors))
        order = torch.randperm(len(actors), generator=generator).tolist()
        who = {s: actors[order[i % len(order)]] for i, s in enumerate(dict.fromkeys(example.speakers))}
        neutral, said = LABELS.index("neutral"), []
        of_actor = {a: np.array([c == a for c in self.clips.actors]) for a in set(who.values())}
        for label, speaker in zip(example.labels_N.tolist(), example.speakers, strict=True):
            chance = float(torch.rand((), generator=generator))
            shown = label if chance < SAME else neutral
            if chance >= SAME + NEUTRAL or shown < 0:
                shown = int(torch.randint(len(LABELS), (), generator=generator))
            own_N = of_actor[who[speaker]]
            rows = np.flatnonzero(own_N & (self.clips.label_N == shown))
            rows = rows if len(rows) else np.flatnonzero(own_N & (self.clips.label_N == neutral))
            rows = rows if len(rows) else np.flatnonzero(own_N)
            said.append(int(rows[int(torch.randint(len(rows), (), generator=generator))]))
        return said

    def _measures(self, said: list[int], version_N: NDArray[np.int64], speakers: Sequence[int]) -> Tensor:
        which = [USED_MEASURES.index(m) for m in self.prior.measures]
        running, rows = Running(self.prior), []
        for row, version, speaker in zip(said, version_N, speakers, strict=True):
            z_A, running = running.push(self.clips.measures_VNA[version, row, which], speaker)
            rows.append(z_A)
        return torch.from_numpy(np.stack(rows)).float()

    def _embeddings(self, said: list[int], version_N: NDArray[np.int64], speakers: Sequence[int]) -> Tensor:
        x_NS = self.clips.statistics_VNS[version_N, said]
        known: dict[int, Reference] = {}
        references = []
        for x_S, speaker in zip(x_NS, speakers, strict=True):
            known[speaker] = known.get(speaker, Reference.unknown()).plus(x_S)
            references.append(known[speaker])
        return self.net.embed(x_NS, references)[0].clone()


def read(data: Path, split: str, cache: Path, tell: Callable[[str], None]) -> Clips:
    """The clips of the actors that meet MELD's ``split`` (train, dev, test): train under `TRAINING`, too.

    What was heard of the clips is kept in ``cache``, the folder of `models.train_voice`.

    Raises:
        ValueError: no such split, or the data are missing or damaged.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; there are {', '.join(SPLITS)}")
    conditions = ("clean", *(TRAINING if split == "train" else ()))
    found: list[list[Heard]] = [[] for _ in conditions]
    labels, actors = [], []
    for corpus in CORPORA:
        every = [heard(data, corpus, c, cache, tell) for c in conditions]
        for i, clip in enumerate(clips(data / corpus)):
            expression = EXPRESSIONS.get(SHIPPED.get(clip.emotion, clip.emotion) or "")
            if clip.split != SPLITS[split] or expression is None:
                continue
            labels.append(LABELS.index(expression))
            actors.append(clip.speaker)
            for version, rows in zip(found, every, strict=True):
                version.append(rows[i])
    return Clips(
        np.stack([[statistics(h) for h in version] for version in found]),
        np.stack([[h.measures for h in version] for version in found]),
        np.array(labels),
        tuple(actors),
    )


def noise_of(net: VoiceNet, train: Clips, valid: Clips) -> Tensor:
    """Standard deviation ``[E]`` of the noise that makes ``net`` as uncertain on ``train`` as on ``valid``.

    The least multiple (in steps of a twentieth) of each dimension's own deviation at which the cross-entropy
    of its head, nothing being known of the actors, reaches that on ``valid``; at most twice the deviation.
    """
    names = [EXPRESSIONS[label] for label in net.config.labels]

    def embedded(of: Clips) -> tuple[Tensor, Tensor]:
        x_NS = of.statistics_VNS[0]
        target_N = torch.tensor([names.index(LABELS[i]) for i in of.label_N])
        return net.embed(x_NS, [Reference.unknown().plus(x_S) for x_S in x_NS])[0].clone(), target_N

    @torch.no_grad()
    def loss(embedding_NE: Tensor, target_N: Tensor) -> float:
        return float(F.cross_entropy(net.head(embedding_NE), target_N))

    train_NE, train_N = embedded(train)
    noise_NE = torch.randn(train_NE.shape, generator=torch.Generator().manual_seed(0))
    aim, std_E, step = loss(*embedded(valid)), train_NE.std(0), 0.0
    while step < 2 and loss(train_NE + step * std_E * noise_NE, train_N) < aim:
        step += 0.05
    return step * std_E


def voices(
    data: Path,
    net: VoiceNet,
    prior: Prior,
    cache: Path,
    tell: Callable[[str], None],
    without: tuple[float, float] = (0.0, 0.0),
    splits: Sequence[str] = tuple(SPLITS),
) -> dict[str, Voices]:
    """The voices of each of ``splits``; in train, their embeddings have noise, and shares of the utterances
    are ``without`` measures and embedding.

    Raises:
        ValueError: as `read`.
    """
    found = {s: read(data, s, cache, tell) for s in {*splits, *(("dev",) if "train" in splits else ())}}
    out = {s: Voices(net, found[s], prior, torch.zeros(net.config.embedding)) for s in splits}
    if "train" in out:
        noise_E = noise_of(net, found["train"], found["dev"])
        out["train"] = Voices(net, found["train"], prior, noise_E, *without)
    return out
