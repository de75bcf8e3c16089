"""Masking that never reads what it masks: NaN in an absent row stays there."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def present_only(h: Tensor, present: Tensor) -> Tensor:
    """``h [..., D]`` with zeros where ``present [...]`` is False, whatever stood there."""
    return torch.where(present.unsqueeze(-1), h, 0.0)


def masked_softmax(score: Tensor, allowed: Tensor) -> Tensor:
    """Softmax over the last dimension where ``allowed``, zero elsewhere; nothing allowed is all zero."""
    score = torch.where(allowed, score, torch.finfo(score.dtype).min)
    return torch.where(allowed, F.softmax(score, -1), 0.0)
