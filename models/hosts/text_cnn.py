"""TextCNN as a host: convolutions over the utterances whose filters are one utterance wide.

Kim, "Convolutional Neural Networks for Sentence Classification", EMNLP 2014 (arXiv 1408.5882), equation 2,
the feature of the rows i to i + h - 1:

    c_i = f(w . x_{i:i+h-1} + b)

with h = 1 and f = ReLU, as many filters as the width, in several layers with dropout before each. It has no
context, whatever the span: the same utterance has the same features anywhere in a conversation, and what
hosts with context gain is measured against it.

Shape suffixes: B conversations, N utterances, S streams, D width, R utterances, F features of all streams.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.hosts.base import Host
from models.hosts.dropout import Dropout
from models.masks import present_only
from models.span import Span
from models.state import State


class TextCnn(Host):
    """See the module. ``layers``: how many convolutions, at least 1."""

    def __init__(
        self,
        *,
        streams: int,
        dim: int,
        span: Span,
        speakers: int = 8,
        dropout: float = 0.2,
        layers: int = 2,
    ) -> None:
        super().__init__(streams=streams, dim=dim, span=span, speakers=speakers, dropout=dropout)
        if layers < 1:
            raise ValueError(f"text-cnn with {layers} layers: it needs at least 1")
        # The streams are groups of one convolution: none reads another.
        width = streams * dim
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 1, groups=streams) for _ in range(layers))
        self.drop = Dropout(dropout)

    def forward(self, x_BNSD: Tensor, present_BNS: Tensor, speaker_BN: Tensor, valid_BN: Tensor) -> Tensor:
        x_BNSD = present_only(x_BNSD, present_BNS & valid_BN.unsqueeze(-1))
        return self._rows(x_BNSD.flatten(0, 1)).view_as(x_BNSD)

    def init_state(self, batch: int) -> State:
        return State()

    def step(
        self, x_BSD: Tensor, present_BS: Tensor, speaker_B: Tensor, state: State
    ) -> tuple[Tensor, State]:
        return self._rows(present_only(x_BSD, present_BS)), state

    def _rows(self, x_RSD: Tensor) -> Tensor:
        """One utterance as good as another: they are laid end to end, as one sequence."""
        c_1FR = x_RSD.flatten(1).t().unsqueeze(0)
        for layer in self.layers:
            c_1FR = F.relu(layer(self.drop(c_1FR)))
        return c_1FR.squeeze(0).t().reshape(x_RSD.shape)
