"""Dropout by bits."""

from __future__ import annotations

import pytest
import torch

from models.hosts.dropout import Dropout


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_it_drops_its_share_and_keeps_the_mean(share: float) -> None:
    """Of 120,000 elements, within five standard deviations; each place alike."""
    torch.manual_seed(0)
    y = Dropout(share).train()(torch.ones(3, 5, 8000))
    exact = round(256 * share) / 256
    assert abs(exact - share) <= 1 / 512
    assert (y == 0).float().mean().item() == pytest.approx(
        exact, abs=5 * (exact * (1 - exact) / y.numel()) ** 0.5
    )
    torch.testing.assert_close(torch.unique(y[y != 0]), torch.tensor([1 / (1 - exact)]))
    by_place = (y == 0).float().flatten().view(-1, 8).mean(0)
    assert (by_place - exact).abs().max() < 5 * (exact * (1 - exact) * 8 / y.numel()) ** 0.5


def test_the_gradient_has_the_mask() -> None:
    """What was dropped has none; what was kept is scaled alike."""
    torch.manual_seed(0)
    x = torch.randn(7, 3, requires_grad=True)
    y = Dropout(0.5).train()(x)
    (grad,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(grad * x, y)
    assert set(grad.flatten().tolist()) == {0.0, 2.0}


def test_seeds_make_it_again_and_draws_differ() -> None:
    """The generator of torch decides."""
    drop, x = Dropout(0.3).train(), torch.ones(50)
    torch.manual_seed(1)
    first, second = drop(x), drop(x)
    torch.manual_seed(1)
    assert torch.equal(drop(x), first)
    assert not torch.equal(first, second)


def test_evaluating_or_with_no_share_nothing_happens() -> None:
    """The very tensor comes back."""
    x = torch.ones(3)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x
    assert Dropout(0.5).train()(torch.ones(0, 3)).shape == (0, 3)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_leaves_nothing_is_refused(share: float) -> None:
    """Before any training."""
    with pytest.raises(ValueError, match="dropout"):
        Dropout(share)
