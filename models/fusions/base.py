"""The seam between modalities: what every fusion takes and gives, whole conversations or a step at a time.

A fusion takes the rows of M modalities at one width D and gives one row of width D for each utterance, so
that any of them stands in any host and nothing else differs. A modality that is absent is masked; what its
row holds, NaN included, is never read. A row of padding is one in which every modality is absent; z there
means nothing, but is finite.

Shape suffixes: B conversations, N utterances, M modalities, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from models.masks import present_only
from models.span import Span
from models.state import State


class Fusion(nn.Module, ABC):
    """Base of every fusion: M modalities of width D to one row of width D.

    Args (of every constructor, by keyword; options of its own follow):
        modalities: M; dim: D; span: which utterances may be read, ignored by fusions that read only one.
    """

    def __init__(self, *, modalities: int, dim: int, span: Span) -> None:
        super().__init__()
        if modalities < 1 or dim < 1:
            raise ValueError(f"{modalities} modalities of width {dim}: both must be at least 1")
        self.modalities, self.dim, self.span = modalities, dim, span

    @abstractmethod
    def forward(self, h_BNMD: Tensor, present_BNM: Tensor) -> Tensor:
        """z ``[B, N, D]`` of whole conversations, within the span."""

    def init_state(self, batch: int) -> State:
        """Before the first utterance of ``batch`` conversations, on the device of the weights.

        Raises:
            ValueError: the span cannot be stepped.
        """
        return State()

    @abstractmethod
    def step(self, h_BMD: Tensor, present_BM: Tensor, state: State) -> tuple[Tensor, State]:
        """z ``[B, D]`` of one utterance and the state after it; nothing given is changed."""


class Pointwise(Fusion):
    """A fusion that reads one utterance at a time: the whole is its rows, nothing is remembered."""

    @abstractmethod
    def rows(self, h_RMD: Tensor, present_RM: Tensor) -> Tensor:
        """z ``[R, D]`` of R utterances; absent rows of ``h_RMD`` are already zero."""

    def forward(self, h_BNMD: Tensor, present_BNM: Tensor) -> Tensor:
        b, n = h_BNMD.shape[:2]
        h_BNMD = present_only(h_BNMD, present_BNM)
        return self.rows(h_BNMD.flatten(0, 1), present_BNM.flatten(0, 1)).view(b, n, -1)

    def step(self, h_BMD: Tensor, present_BM: Tensor, state: State) -> tuple[Tensor, State]:
        return self.rows(present_only(h_BMD, present_BM), present_BM), state
