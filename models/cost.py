"""What each fusion costs: parameters, arithmetic for an utterance, memory for a conversation.

Nothing here is measured with a clock or quoted: every number is worked out from the fusion itself, built
without storage (the meta device), so that a table at any width takes a moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from models import fusions
from models.fusions.base import Fusion
from models.span import Span

RANKS = (8, 16, 32, 64)
RANKED = ("lmam-low-rank", "lmam")  # the forms that the table has at every rank


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one fusion.

    Attributes:
        parameters: all that is trained; weights: those of matrices, without biases, norms, temperatures;
        flops: of one utterance in a conversation that fills the window, by `Fusion.step`: two for each
            multiplication in a matrix product; what is done entry by entry (tanh, softmax, sums) is not
            counted;
        state_bytes: what one conversation keeps between utterances, in float32.
    """

    name: str
    parameters: int
    weights: int
    flops: int
    state_bytes: int

    def share(self, dim: int) -> Fraction:
        """Weights in units of the W_Q, W_K and W_V of self-attention at width ``dim``."""
        return Fraction(self.weights, self_attention_weights(dim))


def self_attention_weights(dim: int) -> int:
    """Weights of W_Q, W_K and W_V at width ``dim``, without biases."""
    return 3 * dim**2


def measure(name: str, *, dim: int, modalities: int = 3, window: int = 16, **options: Any) -> Cost:
    """The cost of fusion ``name`` of ``models.fusions.FUSIONS`` with ``options`` of its own.

    Raises:
        ValueError: no such fusion, or sizes that it cannot have.
    """
    label = ", ".join([name, *(f"{option} {value}" for option, value in options.items())])
    with torch.device("meta"):
        try:
            span = Span(window, 0)
            fusion = fusions.build(name, modalities=modalities, dim=dim, span=span, **options)
        except ValueError as error:
            raise ValueError(f"{label}, {modalities} modalities of width {dim}: {error}") from error
    counted = [(n, p) for n, p in fusion.named_parameters() if p.requires_grad]
    state = fusion.init_state(1)
    return Cost(
        label,
        sum(p.numel() for _, p in counted),
        sum(p.numel() for n, p in counted if p.ndim > 1 and "bias" not in n),
        _flops(fusion, modalities, dim),
        sum(t.numel() * t.element_size() for t in state.values()),
    )


@torch.no_grad()
def _flops(fusion: Fusion, modalities: int, dim: int) -> int:
    """Of one step in which every modality is present. The state has its full size from the start."""
    h_1MD = torch.empty(1, modalities, dim, device="meta")
    present_1M = torch.empty(1, modalities, device="meta", dtype=torch.bool)
    with FlopCounterMode(display=False) as counter:
        fusion.eval().step(h_1MD, present_1M, fusion.init_state(1))
    return int(counter.get_total_flops())


def table(*, dim: int = 512, modalities: int = 3, window: int = 16) -> tuple[list[Cost], list[str]]:
    """Every fusion that can have these sizes, `RANKED` at each of `RANKS` that ``dim`` allows; by weights.

    Beside them why the others are left out, a line a fusion.

    Raises:
        ValueError: sizes that no fusion can have.
    """
    wanted: list[tuple[str, dict[str, int]]] = [(name, {}) for name in fusions.FUSIONS if name not in RANKED]
    for name in RANKED:
        ranks = [rank for rank in RANKS if rank <= dim] or [min(RANKS)]
        wanted += [(name, {"rank": rank}) for rank in ranks]
    rows, left_out = [], []
    for name, options in wanted:
        try:
            rows.append(measure(name, dim=dim, modalities=modalities, window=window, **options))
        except ValueError as error:
            left_out.append(str(error))
    if not rows:
        raise ValueError(left_out[0])
    return sorted(rows, key=lambda cost: (cost.weights, cost.parameters, cost.name)), left_out
