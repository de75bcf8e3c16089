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
    """Mean cross-entropy over the valid utterances that have a label (-1: none), 0 where none has.

    What padding holds, NaN included, is never read.
    """
    known_BN = valid_BN & (labels_BN >= 0)
    if not known_BN.any():
        return logits_BNC[known_BN].sum()
    return F.cross_entropy(
        logits_BNC[known_BN], labels_BN[known_BN], weight=weight_C, label_smoothing=smoothing
    )
