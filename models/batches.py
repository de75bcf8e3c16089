"""Conversations of a corpus as the padded tensors a model reads.

Shape suffixes: N utterances, A audio measures, E voice embedding, D features, B conversations, M modalities,
V visual features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models.dialogue import Dialogue, voice_vector
from models.meld import Conversation
from models.normalise import Prior, causal_normalise


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation whose prosody is normalised; features of text and face join it where they exist."""

    texts: tuple[str, ...]
    speakers: tuple[int, ...]
    labels_N: Tensor
    audio_NA: Tensor
    heard_N: Tensor  # bool: at least one measure of the voice exists
    voice_NE: Tensor | None = (
        None  # what the voice network says; rows of NaN, or None, where it heard nothing
    )


def examples(conversations: Sequence[Conversation], prior: Prior) -> list[Example]:
    """Each conversation with causally normalised prosody."""
    out = []
    for c in conversations:
        z_NA = torch.from_numpy(causal_normalise(c.audio_NA, c.speakers, prior)).float()
        heard_N = torch.from_numpy((c.audio_NA == c.audio_NA).any(1))
        out.append(Example(c.texts, c.speakers, torch.tensor(c.labels), z_NA, heard_N))
    return out


def alone(example: Example) -> Iterator[Example]:
    """Each utterance as a conversation of its own: what a model without context sees."""
    for i in range(len(example.texts)):
        row = slice(i, i + 1)
        yield Example(
            example.texts[row],
            example.speakers[row],
            example.labels_N[row],
            example.audio_NA[row],
            example.heard_N[row],
            None if example.voice_NE is None else example.voice_NE[row],
        )


def collate(
    group: Sequence[Example],
    text: Sequence[Tensor],
    present: Sequence[Tensor],
    visual: Sequence[Tensor] | None = None,
    visual_dim: int = 64,
    voice_dim: int = 0,
) -> tuple[Dialogue, Tensor]:
    """A padded `Dialogue` and its labels ``[B, N]``; the lists hold ``[N, ...]`` of each conversation.

    With ``voice_dim`` 0, the model does not read what the voice network says.
    """
    visual = visual or [torch.zeros(len(e.texts), visual_dim) for e in group]
    valid = [torch.ones(len(e.texts), dtype=torch.bool) for e in group]

    def pad(rows: Sequence[Tensor]) -> Tensor:
        return pad_sequence(list(rows), batch_first=True)

    dialogue = Dialogue(
        pad(text),
        pad([_audio(e, voice_dim) for e in group]),
        pad(visual),
        pad(present),
        pad([torch.tensor(e.speakers) for e in group]),
        pad(valid),
    )
    return dialogue, pad([e.labels_N for e in group])


def _audio(example: Example, voice_dim: int) -> Tensor:
    nothing_NE = torch.full((len(example.texts), voice_dim), torch.nan)
    voice_NE = nothing_NE if example.voice_NE is None or not voice_dim else example.voice_NE
    return voice_vector(example.audio_NA, voice_NE)


def presence(example: Example, *, text: bool = True, audio: bool = True, visual: bool = False) -> Tensor:
    """``[N, M]`` bool: which modalities of each utterance may be read."""
    n = len(example.texts)
    return torch.stack([torch.full((n,), text), example.heard_N & audio, torch.full((n,), visual)], 1)


def retext(example: Example, texts: Sequence[str]) -> Example:
    """``example`` with other words."""
    return replace(example, texts=tuple(texts))
