"""What makes a conversation model steppable, and what works with any one that is.

Shape suffixes: B conversations, N utterances, M modalities, C classes.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from models.dialogue import MODALITIES, Dialogue, Turn


class Value(Protocol):
    """A state: tensors whose first dimension is the conversation."""

    def tensors(self) -> dict[str, Tensor]: ...


S = TypeVar("S", bound=Value)


class Steppable(Protocol[S]):
    """``forward`` on whole conversations equals ``step`` on their utterances in turn."""

    def forward(self, dialogue: Dialogue) -> Tensor:
        """Causal logits ``[B, N, C]``."""

    def init_state(self, batch: int) -> S:
        """The state before the first utterance."""

    def step(self, turn: Turn, state: S) -> tuple[Tensor, S]:
        """Logits ``[B, C]`` of the newest utterance and the state after it; nothing given is changed."""


def unroll(model: Steppable[S], dialogue: Dialogue, state: S | None = None) -> tuple[Tensor, S]:
    """Logits ``[B, N, C]`` by stepping, and the state at the end. Padding is stepped through as well."""
    batch, n = dialogue.valid_BN.shape
    state = model.init_state(batch) if state is None else state
    logits = []
    for i in range(n):
        logits_BC, state = model.step(dialogue.turn(i), state)
        logits.append(logits_BC)
    return torch.stack(logits, 1), state


def contributions(model: Steppable[S], turn: Turn, state: S) -> tuple[Tensor, S, Tensor]:
    """One step with the share ``weights_BM`` that each present modality had in it.

    The share of a modality is how far the log-probability of the label given falls when this utterance is
    read without that modality (never below zero), divided by the sum over the modalities. Shares are in 0..1
    and sum to 1 over those present; where none changes anything they are equal; an absent modality has 0.
    The cost is one step of a batch M + 1 times as large.

    Returns:
        logits ``[B, C]``, the state after the step, weights ``[B, M]``.
    """
    m, batch = len(MODALITIES), len(turn.present_BM)
    without_MBM = turn.present_BM & ~_each(turn)
    logits, after = model.step(
        _as_if(turn, torch.cat([turn.present_BM.unsqueeze(0), without_MBM])), repeat(state, m + 1)
    )
    logp_VBC = F.log_softmax(logits, -1).view(m + 1, batch, -1)
    label_B1 = logp_VBC[0].argmax(-1, keepdim=True)
    full_B1 = logp_VBC[0].gather(1, label_B1)
    left_BM = torch.cat([row.gather(1, label_B1) for row in logp_VBC[1:]], 1)
    drop_BM = torch.where(turn.present_BM, (full_B1 - left_BM).clamp_min(0), 0.0)
    even_BM = turn.present_BM / turn.present_BM.sum(1, keepdim=True).clamp_min(1)
    sum_B1 = drop_BM.sum(1, keepdim=True)
    weights_BM = torch.where(sum_B1 > 0, drop_BM / sum_B1.clamp_min(1e-12), even_BM)
    return logits[:batch], take(after, slice(0, batch)), weights_BM


def alone(model: Steppable[S], turn: Turn, state: S) -> Tensor:
    """What each modality says by itself: logits ``[M, B, C]`` of this utterance in the same context, as if
    nothing else of it were present.

    Rows of a modality that is absent tell what the context alone says. Nothing given is changed; the cost is
    one step of a batch M times as large.
    """
    m, batch = len(MODALITIES), len(turn.present_BM)
    logits, _ = model.step(_as_if(turn, turn.present_BM & _each(turn)), repeat(state, m))
    return logits.view(m, batch, -1)


def _each(turn: Turn) -> Tensor:
    """``[M, 1, M]``: row m is true for modality m only."""
    m = len(MODALITIES)
    return torch.eye(m, dtype=torch.bool, device=turn.present_BM.device).unsqueeze(1)


def _as_if(turn: Turn, present_KBM: Tensor) -> Turn:
    """The batch ``turn`` K times, end to end, each time with other modalities present."""
    k = len(present_KBM)
    return Turn(
        turn.text_BT.repeat(k, 1),
        turn.audio_BA.repeat(k, 1),
        turn.visual_BV.repeat(k, 1),
        present_KBM.flatten(0, 1),
        turn.speaker_B.repeat(k),
    )


def take(state: S, rows: slice) -> S:
    """The conversations ``rows`` of a state."""
    return type(state)(**{n: t[rows] for n, t in state.tensors().items()})


def repeat(state: S, times: int) -> S:
    """Every conversation of a state ``times`` times, the whole batch end to end."""
    return type(state)(**{n: t.repeat(times, *[1] * (t.ndim - 1)) for n, t in state.tensors().items()})


def split(dialogue: Dialogue, at: int) -> tuple[Dialogue, Dialogue]:
    """The utterances before ``at`` and those from it on."""
    parts = [(t[:, :at], t[:, at:]) for t in (getattr(dialogue, f.name) for f in fields(dialogue))]
    return Dialogue(*(a for a, _ in parts)), Dialogue(*(b for _, b in parts))
