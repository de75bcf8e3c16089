"""The part of the bench for the fusion: what a step of the file that ships costs."""

from __future__ import annotations

import torch

from models.fusion_weights import load_fusion
from models.perception.shipped.fusion import STEPS, steps


def test_every_step_behind_a_full_window_is_timed() -> None:
    torch.set_num_threads(1)
    spent = steps(load_fusion())
    assert len(spent) == STEPS
    assert all(ms > 0 for ms in spent)
