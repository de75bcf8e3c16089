"""Small conversations for the hosts of windowed graphs and attention, and what is asked of each of them.

Shape suffixes: B conversations, N utterances, S streams, D width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.hosts.base import Host


@dataclass(frozen=True)
class Given:
    """What a host takes; float64, so that an oracle is met to the last digits."""

    x_BNSD: Tensor
    present_BNS: Tensor
    speaker_BN: Tensor
    valid_BN: Tensor

    def into(self, host: Host) -> Tensor:
        return host(self.x_BNSD, self.present_BNS, self.speaker_BN, self.valid_BN)  # type: ignore[no-any-return]

    def changed(self, at: int, stream: int) -> Given:
        """With another row of ``stream`` in utterance ``at``."""
        x_BNSD = self.x_BNSD.clone()
        x_BNSD[:, at, stream] = torch.randn(x_BNSD[:, at, stream].shape, dtype=x_BNSD.dtype)
        return replace(self, x_BNSD=x_BNSD)

    def there(self, b: int, s: int) -> list[int]:
        """The utterances of a conversation in which a stream is present."""
        here_N = self.present_BNS[b, :, s] & self.valid_BN[b]
        return [int(n) for n in here_N.nonzero()]


def given(streams: int = 2, n: int = 8, dim: int = 8, *, gaps: bool = True) -> Given:
    """Three conversations of three people; absent rows and padding hold NaN, one utterance has no stream."""
    g = torch.Generator().manual_seed(3)
    x_BNSD = torch.randn(3, n, streams, dim, generator=g, dtype=torch.float64)
    present_BNS = torch.rand(3, n, streams, generator=g) < 0.75
    present_BNS[:, 2] = False
    valid_BN = torch.arange(n) < torch.tensor([[n], [n - 3], [n]])
    if not gaps:
        present_BNS, valid_BN = torch.ones_like(present_BNS), torch.ones_like(valid_BN)
    here_BNS1 = (present_BNS & valid_BN.unsqueeze(-1)).unsqueeze(-1)
    speaker_BN = torch.randint(0, 3, (3, n), generator=g)
    return Given(torch.where(here_BNS1, x_BNSD, float("nan")), present_BNS, speaker_BN, valid_BN)


def check_masked(host: Host, data: Given) -> None:
    """Rows without a stream are zero; a conversation does not depend on its batch or its padding."""
    h_BNSD = data.into(host)
    assert (h_BNSD[~(data.present_BNS & data.valid_BN.unsqueeze(-1))] == 0).all()
    check_alone(host, data)


def check_alone(host: Host, data: Given) -> None:
    """A conversation does not depend on its batch or its padding, and not all of it is the same."""
    h_BNSD = data.into(host)
    assert h_BNSD[data.present_BNS & data.valid_BN.unsqueeze(-1)].std() > 0.01
    for b, length in enumerate(data.valid_BN.sum(1).tolist()):
        alone = Given(
            data.x_BNSD[b : b + 1, :length],
            data.present_BNS[b : b + 1, :length],
            data.speaker_BN[b : b + 1, :length],
            data.valid_BN[b : b + 1, :length],
        )
        torch.testing.assert_close(alone.into(host)[0], h_BNSD[b, :length], atol=1e-12, rtol=0)


def check_stepped(host: Host, data: Given) -> None:
    """`step` gives what `forward` gives at every present row, and the state does not grow."""
    h_BNSD = data.into(host)
    state = host.init_state(len(h_BNSD))
    sizes = {k: v.shape for k, v in state.items()}
    here_BNS = data.present_BNS & data.valid_BN.unsqueeze(-1)
    for n in range(h_BNSD.shape[1]):
        h_BSD, state = host.step(data.x_BNSD[:, n], here_BNS[:, n], data.speaker_BN[:, n], state)
        torch.testing.assert_close(h_BSD, h_BNSD[:, n], atol=1e-12, rtol=0)
    assert sizes == {k: v.shape for k, v in state.items()}


def check_gradients(host: Host, data: Given) -> None:
    """Every parameter has a finite gradient that is not zero, masked rows give NaN to none."""
    h_BNSD = data.into(host)
    names, parameters = zip(*host.named_parameters(), strict=True)
    grads = torch.autograd.grad((h_BNSD * torch.randn_like(h_BNSD)).sum(), parameters)
    for name, grad in zip(names, grads, strict=True):
        assert torch.isfinite(grad).all(), name
        assert grad.flatten(min(1, grad.ndim - 1)).abs().sum(-1).gt(0).all(), name


def check_half(host: Host, data: Given) -> None:
    """In mixed precision the result is finite and near that of float32."""
    data = replace(data, x_BNSD=data.x_BNSD.float())
    want_BNSD = data.into(host.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got_BNSD = data.into(host)
    torch.testing.assert_close(got_BNSD.float(), want_BNSD, atol=0.05, rtol=0.05)


def check_half_stepped(host: Host, data: Given) -> None:
    """The same of its steps."""
    data = replace(data, x_BNSD=data.x_BNSD.float())
    want_BNSD = data.into(host.float())
    state = host.init_state(len(want_BNSD))
    for n in range(want_BNSD.shape[1]):
        here_BS = data.present_BNS[:, n] & data.valid_BN[:, n, None]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            h_BSD, state = host.step(data.x_BNSD[:, n], here_BS, data.speaker_BN[:, n], state)
        torch.testing.assert_close(h_BSD.float(), want_BNSD[:, n], atol=0.05, rtol=0.05)


def reach(host: Host, data: Given, at: int, stream: int) -> tuple[int, int]:
    """How many utterances before and after ``at`` a change there is felt."""
    moved_BN = (data.changed(at, stream).into(host) - data.into(host)).abs().amax((2, 3)) > 1e-14
    felt = [int(n) for n in moved_BN.any(0).nonzero()]
    return at - min(felt), max(felt) - at
