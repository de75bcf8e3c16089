"""LMAM in the seam of the fusions, and `LMAMFusion` for any model that has one sequence for each modality.

The equations, the block and its forms are in `models.lmam`.

Shape suffixes: B sequences, N steps, M modalities, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from models.fusions.base import Fusion
from models.lmam import LMAM, RANK, Form, NoMatching
from models.masks import present_only
from models.span import FULL, Span
from models.state import State

Streams = Mapping[str, Tensor | None] | Sequence[Tensor | None]
Masks = Mapping[str, Tensor | None] | Sequence[Tensor | None] | Tensor | None


class Blocked(Fusion):
    """A fusion that is a `models.lmam.LMAM`.

    With a causal span it is steppable. Its state is, for each of the last W utterances and each remembered
    modality: h (D numbers), its key (R numbers; none where the key is h itself) and whether it was there.
    """

    def __init__(self, block: LMAM, *, modalities: int, dim: int, span: Span) -> None:
        super().__init__(modalities=modalities, dim=dim, span=span)
        self.block = block

    def forward(self, h_BNMD: Tensor, present_BNM: Tensor) -> Tensor:
        z_BND: Tensor = self.block(h_BNMD, present_BNM)
        return z_BND

    def init_state(self, batch: int) -> State:
        return self.block.memory(batch)

    def step(self, h_BMD: Tensor, present_BM: Tensor, state: State) -> tuple[Tensor, State]:
        return self.block.step(h_BMD, present_BM, state)


class Lmam(Blocked):
    """Low-rank matching attention of the form that the options name (see `models.lmam.Form`)."""

    def __init__(
        self,
        *,
        modalities: int,
        dim: int,
        span: Span,
        rank: int | None = RANK,
        squash: str = "temperature",
        memory: str = "text",
        sharing: str = "modality",
    ) -> None:
        form = Form(rank=rank, squash=squash, memory=memory, sharing=sharing)
        block = form.build(modalities=modalities, dim=dim, span=span)
        super().__init__(block, modalities=modalities, dim=dim, span=span)


class Mean(Blocked):
    """What the published tanh tends to: equation 5 over the plain mean of the valid rows of text."""

    def __init__(self, *, modalities: int, dim: int, span: Span) -> None:
        block = LMAM(NoMatching(dim), memories=1, dim=dim, span=span)
        super().__init__(block, modalities=modalities, dim=dim, span=span)


class LMAMFusion(nn.Module):
    """LMAM as a drop-in part: one sequence for each modality in, one fused sequence out.

    It knows nothing of conversations: a step may be an utterance, a click or a frame, as long as the
    sequences are aligned, step by step. The first modality is the one that `Form.memory` calls text.

    Args:
        widths: the width of each modality, by name or in order; each gets a linear map to ``dim``.
        dim: width of what comes out.
        form: which LMAM; the default is the small one, of rank 16, or of ``dim`` where that is less.
        span: which steps a step may read; the default is the whole sequence.

    Raises:
        ValueError: no modalities, or sizes that the form cannot have.
    """

    def __init__(
        self,
        widths: Mapping[str, int] | Sequence[int],
        dim: int = 128,
        *,
        form: Form | None = None,
        span: Span = FULL,
    ) -> None:
        super().__init__()
        named = dict(widths) if isinstance(widths, Mapping) else {str(i): w for i, w in enumerate(widths)}
        if not named or min(*named.values(), dim) < 1:
            raise ValueError(
                f"widths {named} to dim {dim}: expected one modality or more, each at least 1 wide"
            )
        self.by_name, self.names = isinstance(widths, Mapping), tuple(named)
        self.widths = tuple(named.values())
        self.maps = nn.ModuleList(nn.Linear(width, dim) for width in named.values())
        form = form or Form(rank=min(dim, RANK))
        self.block = form.build(modalities=len(named), dim=dim, span=span)
        self.remembered = self.block.memory(1).sizes() if span.steps else None

    def forward(self, inputs: Streams, masks: Masks = None) -> Tensor:
        """Fuse whole sequences.

        Args:
            inputs: ``[B, N, width]`` of each modality, as a dict by name or in order, as ``widths`` were
                given; None for a modality that is absent throughout.
            masks: bool, True where the modality is there, ``[B, N]`` for each or one for all; None: always.
                Padding is a step at which nothing is there. Masked entries may hold NaN.

        Returns:
            ``[B, N, dim]``; zeros where nothing was there.

        Raises:
            ValueError: what is given does not fit; the message names the modality.
        """
        z_BND: Tensor = self.block(*self._rows(inputs, masks, 2))
        return z_BND

    def init_state(self, batch: int) -> State:
        """Before the first step of ``batch`` sequences.

        Raises:
            ValueError: the span cannot be stepped.
        """
        return self.block.memory(batch)

    def step(self, inputs: Streams, state: State, masks: Masks = None) -> tuple[Tensor, State]:
        """``[B, dim]`` of one step (inputs ``[B, width]``, masks ``[B]``) and the state after it.

        Equals the rows of `forward` with the same causal span.

        Raises:
            ValueError: what is given does not fit, or a state of another block or window.
        """
        state.expect(self.block.memory(1).sizes() if self.remembered is None else self.remembered)
        return self.block.step(*self._rows(inputs, masks, 1), state)

    def _rows(self, inputs: Streams, masks: Masks, leading: int) -> tuple[Tensor, Tensor]:
        """All modalities at one width, ``[B, N, M, D]``, and which are there, ``[B, N, M]``."""
        given = self._in_order(inputs, "inputs")
        shape = next((x.shape[:leading] for x in given if x is not None), None)
        if shape is None:
            raise ValueError(f"every one of {', '.join(self.names)} is None")
        if masks is None or isinstance(masks, Tensor):
            masked = [masks] * len(given)
        else:
            masked = self._in_order(masks, "masks")
        rows, there = [], []
        for i, map_ in enumerate(self.maps):
            x, mask = self._fit(i, given[i], masked[i], shape)
            rows.append(map_(present_only(x, mask)))
            there.append(mask)
        return torch.stack(rows, -2), torch.stack(there, -1)

    def _in_order(self, given: Streams, what: str) -> list[Tensor | None]:
        kinds: tuple[type, ...] = (Mapping,) if self.by_name else (list, tuple)
        if not isinstance(given, kinds) or len(given) != len(self.names):
            raise ValueError(f"{what}: expected a {'dict' if self.by_name else 'list'} of {self.names}")
        if not isinstance(given, Mapping):
            return list(given)
        if set(given) != set(self.names):
            raise ValueError(f"{what}: expected the names {self.names}, got {tuple(given)}")
        return [given[name] for name in self.names]

    def _fit(self, i: int, x: Tensor | None, mask: Tensor | None, shape: torch.Size) -> tuple[Tensor, Tensor]:
        """Modality ``i`` and its mask; for one that is None, zeros that are nowhere there."""
        name, want = self.names[i], (*shape, self.widths[i])
        if x is None:
            new = self.block.like.new_zeros
            return new(want), new(shape, dtype=torch.bool)
        if x.shape != want:
            raise ValueError(f"{name!r}: expected {want} (steps as the first modality), got {tuple(x.shape)}")
        if mask is None:
            return x, torch.ones(shape, dtype=torch.bool, device=x.device)
        if mask.shape != shape or mask.dtype != torch.bool:
            raise ValueError(
                f"mask of {name!r}: expected bool {tuple(shape)}, got {mask.dtype} {tuple(mask.shape)}"
            )
        return x, mask
