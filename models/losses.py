"""Losses over padded conversations; padding never trains anything.

Shape suffixes: B conversations, N utterances, C classes.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def masked_cross_entropy(
    logits_BNC: Tensor,
    labels_BN: Tensor,
    valid_BN: Tensor,
    *,
    smoothing: float = 0.0,
    weight_C: Tensor | None = None,
) -> Tensor:
    """Mean cross-entropy over the valid utterances; what padding holds, NaN included, is never read."""
    return F.cross_entropy(
        logits_BNC[valid_BN], labels_BN[valid_BN], weight=weight_C, label_smoothing=smoothing
    )
