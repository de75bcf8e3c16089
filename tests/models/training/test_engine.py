"""Engines: what is missing is said with the command that brings it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.training.config import TrainingError
from models.training.engine import Plain, need, open_fabric


def test_a_missing_package_is_said_with_the_pip_command() -> None:
    with pytest.raises(TrainingError, match=r"no_such_package.*pip install 'lmam-streamer\[train\]'"):
        need("json", "no_such_package")


def test_without_fabric_the_pip_command_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TrainingError, match="lightning_fabric, not installed here"):
        open_fabric()


@pytest.mark.timeout(120)  # imports Fabric
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_named() -> None:
    pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")
    with pytest.raises(TrainingError, match="accelerator 'gpu'"):
        open_fabric(accelerator="gpu")
    with pytest.raises(TrainingError, match="accelerator 'abacus'"):
        open_fabric(accelerator="abacus")


def test_the_plain_engine_clips_the_norm_of_all_gradients_together() -> None:
    net = nn.Linear(3, 2)
    optimiser = torch.optim.SGD(net.parameters(), 1.0)
    assert Plain().setup(net, optimiser) == (net, optimiser)
    Plain().backward(100 * net(torch.ones(1, 3)).sum())
    Plain().clip_gradients(net, optimiser, max_norm=0.5, error_if_nonfinite=False)
    norm = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]).norm()
    assert float(norm) == pytest.approx(0.5, rel=1e-4)
