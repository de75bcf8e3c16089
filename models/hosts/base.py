"""The seam of the hosts: sequence models into which any fusion is plugged, before or after them.

A host takes S streams of width D and gives S streams of width D. Placed after the fusion ("early") it has one
stream; placed before it ("late") it has one for each modality. A stream that is absent in an utterance is
masked there: it is not read, NaN included, and leaves the stream's own state as it is. Padding is marked by
``valid_BN`` and comes at the end.

Shape suffixes: B conversations, N utterances, S streams, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from models.span import Span
from models.state import State


class Host(nn.Module, ABC):
    """Base of every host.

    Args (of every constructor, by keyword; options of its own follow):
        streams: S; dim: D, in and out; span: which utterances may be read: `models.span.FULL` makes the
        bidirectional form of the paper, a causal span its past-only twin, which can be stepped;
        speakers: how many people are told apart (indices at or above share the last); dropout: 0..1.
    """

    def __init__(
        self, *, streams: int, dim: int, span: Span, speakers: int = 8, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.streams, self.dim, self.span = streams, dim, span
        self.speakers, self.dropout = speakers, dropout

    @abstractmethod
    def forward(self, x_BNSD: Tensor, present_BNS: Tensor, speaker_BN: Tensor, valid_BN: Tensor) -> Tensor:
        """h ``[B, N, S, D]`` of whole conversations; rows of padding mean nothing, but are finite."""

    @abstractmethod
    def init_state(self, batch: int) -> State:
        """Before the first utterance of ``batch`` conversations, on the device of the weights.

        Raises:
            ValueError: the span cannot be stepped.
        """

    @abstractmethod
    def step(
        self, x_BSD: Tensor, present_BS: Tensor, speaker_B: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """h ``[B, S, D]`` of one utterance and the state after it; nothing given is changed."""
