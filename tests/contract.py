"""Checks every conversation model must pass; a new model adds one parametrised line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from models.dialogue import Dialogue
from models.incremental import Steppable, Value, split, unroll

S = TypeVar("S", bound=Value)


class Forward(Protocol):
    """A model of whole conversations."""

    def forward(self, dialogue: Dialogue) -> Tensor: ...


Same = Callable[[Tensor, Tensor, str], None]


def make_dialogue(
    batch: int = 3, n: int = 9, *, text: int = 384, audio: int = 7, visual: int = 64, seed: int = 0
) -> Dialogue:
    """Random conversations with four speakers; modalities come and go, some utterances have none."""
    g = torch.Generator().manual_seed(seed)
    return Dialogue(
        torch.randn(batch, n, text, generator=g),
        torch.randn(batch, n, audio, generator=g),
        torch.randn(batch, n, visual, generator=g),
        torch.rand(batch, n, 3, generator=g) < 0.6,
        torch.randint(0, 4, (batch, n), generator=g),
        torch.ones(batch, n, dtype=torch.bool),
    )


def to(dialogue: Dialogue, device: str) -> Dialogue:
    """``dialogue`` on ``device``."""
    return Dialogue(*(t.to(device) for t in tensors(dialogue)))


def tensors(dialogue: Dialogue) -> tuple[Tensor, ...]:
    """Its fields in their order."""
    return tuple(getattr(dialogue, f.name) for f in fields(dialogue))


def masked_with(dialogue: Dialogue, value: float) -> Dialogue:
    """``dialogue`` with ``value`` in every feature of a modality that is absent."""
    d = dialogue
    return replace(
        d,
        text_BNT=torch.where(d.present_BNM[..., 0:1], d.text_BNT, value),
        audio_BNA=torch.where(d.present_BNM[..., 1:2], d.audio_BNA, value),
        visual_BNV=torch.where(d.present_BNM[..., 2:3], d.visual_BNV, value),
    )


def rows(dialogue: Dialogue, which: slice) -> Dialogue:
    """Some of the conversations."""
    return Dialogue(*(t[which] for t in tensors(dialogue)))


@torch.no_grad()
def check_incremental(model: Steppable[S], dialogue: Dialogue, *, atol: float = 1e-5) -> None:
    """Assert that ``model`` is causal, steppable, masked and free of the batch around a conversation."""
    whole = model.forward(dialogue)
    n = whole.shape[1]
    assert torch.isfinite(whole).all(), "logits are not finite"
    assert whole.std() > 1e-3, "the model says the same of everything: the checks below would prove nothing"

    def same(got: Tensor, want: Tensor, why: str) -> None:
        torch.testing.assert_close(got, want, atol=atol, rtol=0, msg=lambda m: f"{why}: {m}")

    same(unroll(model, dialogue)[0], whole, "step != forward")
    _splits(model, dialogue, whole, same)
    for cut in (1, n // 2, n - 1):
        same(model.forward(_poisoned(dialogue, cut))[:, :cut], whole[:, :cut], "looks ahead")
    same(unroll(model, rows(dialogue, slice(0, 1)))[0], whole[:1], "depends on the batch")
    same(model.forward(rows(dialogue, slice(1, 2))), whole[1:2], "depends on the batch")
    nan = masked_with(dialogue, float("nan"))
    same(model.forward(nan), whole, "forward reads a masked modality")
    same(unroll(model, nan)[0], whole, "step reads a masked modality")
    same(model.forward(_padded(dialogue, 3))[:, :n], whole, "reads padding")


def _splits(model: Steppable[S], dialogue: Dialogue, whole: Tensor, same: Same) -> None:
    """Any split gives the same; a look ahead from a state commits nothing; a state survives storage."""
    for at in range(1, whole.shape[1]):
        first, second = split(dialogue, at)
        a, state = unroll(model, first)
        before = {k: v.clone() for k, v in state.tensors().items()}
        peek, _ = model.step(dialogue.turn(at), state)
        assert all(torch.equal(before[k], v) for k, v in state.tensors().items()), "step changed its state"
        again = type(state)(**{k: v.clone() for k, v in before.items()})
        b, end = unroll(model, second, again)
        same(torch.cat([a, b], 1), whole, f"split at {at}")
        same(peek, whole[:, at], f"peek at {at}")
        sizes = {k: v.shape for k, v in state.tensors().items()}
        assert sizes == {k: v.shape for k, v in end.tensors().items()}, "the state grows"


def _poisoned(dialogue: Dialogue, cut: int) -> Dialogue:
    """Large finite numbers from ``cut`` on: a masked softmax still multiplies zero by what it masks."""
    d = dialogue
    late = (torch.arange(d.valid_BN.shape[1], device=d.valid_BN.device) >= cut)[None, :, None]
    return replace(
        d,
        text_BNT=torch.where(late, 1e4, d.text_BNT),
        audio_BNA=torch.where(late, -1e4, d.audio_BNA),
        visual_BNV=torch.where(late, 1e4, d.visual_BNV),
        present_BNM=d.present_BNM | late,
        speaker_BN=torch.where(late[..., 0], 1, d.speaker_BN),
    )


def _padded(dialogue: Dialogue, extra: int) -> Dialogue:
    """``extra`` rows of NaN padding that claims to be present."""

    def grow(t: Tensor, value: float | bool) -> Tensor:
        return torch.cat([t, torch.full_like(t[:, :1], value).repeat(1, extra, *[1] * (t.ndim - 2))], 1)

    d, nan = dialogue, float("nan")
    return Dialogue(
        grow(d.text_BNT, nan),
        grow(d.audio_BNA, nan),
        grow(d.visual_BNV, nan),
        grow(d.present_BNM, True),
        grow(d.speaker_BN, 3),
        grow(d.valid_BN, False),
    )


@torch.no_grad()
def check_masked(model: Forward, dialogue: Dialogue, *, atol: float = 1e-5) -> None:
    """Assert of a model with the whole conversation in sight that it is masked and free of the batch."""
    whole = model.forward(dialogue)
    assert torch.isfinite(whole).all(), "logits are not finite"
    assert whole.std() > 1e-3, "the model says the same of everything: the checks below would prove nothing"
    n = whole.shape[1]

    def same(got: Tensor, want: Tensor, why: str) -> None:
        torch.testing.assert_close(got, want, atol=atol, rtol=0, msg=lambda m: f"{why}: {m}")

    same(model.forward(rows(dialogue, slice(1, 2))), whole[1:2], "depends on the batch")
    same(model.forward(masked_with(dialogue, float("nan"))), whole, "reads a masked modality")
    same(model.forward(_padded(dialogue, 3))[:, :n], whole, "reads padding")
