"""Small networks are fastest on one thread, and two threads starve where the machine is busy."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
