"""What a conversation model reads: one utterance (`Turn`) or a whole dialogue (`Dialogue`).

Shape suffixes: B conversations, N utterances, T text features, A audio features, V visual features,
M modalities (3), E what the voice network says of a voice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MODALITIES = ("text", "audio", "visual")


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance of each of B conversations.

    Entries of a modality that is not present may hold anything, NaN included: models mask them and
    never read them. ``present_BM`` is bool in the order of `MODALITIES`; ``speaker_B`` int64, the order
    of first appearance in the conversation (0, 1, ...).
    """

    text_BT: Tensor
    audio_BA: Tensor
    visual_BV: Tensor
    present_BM: Tensor
    speaker_B: Tensor


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Whole conversations, padded at the end; ``valid_BN`` is False for padding (which may hold NaN)."""

    text_BNT: Tensor
    audio_BNA: Tensor
    visual_BNV: Tensor
    present_BNM: Tensor
    speaker_BN: Tensor
    valid_BN: Tensor

    def turn(self, n: int) -> Turn:
        """Utterance ``n`` of every conversation."""
        return Turn(
            self.text_BNT[:, n],
            self.audio_BNA[:, n],
            self.visual_BNV[:, n],
            self.present_BNM[:, n],
            self.speaker_BN[:, n],
        )


def voice_vector(measures: Tensor, embedding: Tensor) -> Tensor:
    """What a model with both reads of a voice: measures ``[..., A]`` and embedding ``[..., E]`` as one
    vector ``[..., A + E + 1]``.

    The last number is 1 where there is an embedding. Where there is none (any of it is NaN) it stands as
    zero. Measures are z-scores, and zero where one is missing. With E = 0 the measures are all.
    """
    if not embedding.shape[-1]:
        return measures
    there = ~embedding.isnan().any(-1, keepdim=True)
    return torch.cat([measures, torch.where(there, embedding, 0.0), there.to(measures.dtype)], -1)
