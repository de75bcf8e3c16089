"""Where a run computes: the part of Lightning Fabric's interface that training needs, and its plain form.

`Plain` is one CPU without any package beyond torch, which is what hundreds of small runs want; `open_fabric`
gives the same interface on a GPU, on several, or with mixed precision.
"""

from __future__ import annotations

import importlib
import importlib.util
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from models.extras import install
from models.training.config import TrainingError


class Engine(Protocol):
    """What `lightning_fabric.Fabric` offers of which training makes use."""

    @property
    def device(self) -> torch.device: ...

    @property
    def world_size(self) -> int: ...

    @property
    def global_rank(self) -> int: ...

    def setup(self, module: nn.Module, *optimizers: Optimizer) -> Any: ...

    def backward(self, tensor: Tensor) -> None: ...

    def clip_gradients(
        self, module: nn.Module, optimizer: Optimizer, *, max_norm: float, error_if_nonfinite: bool
    ) -> Any: ...

    def autocast(self) -> AbstractContextManager[None]: ...

    def broadcast(self, obj: Any, src: int = 0) -> Any: ...


class Plain:
    """One CPU, float32."""

    device = torch.device("cpu")
    world_size = 1
    global_rank = 0

    def setup(self, module: nn.Module, *optimizers: Optimizer) -> Any:
        """Nothing to wrap."""
        return (module, *optimizers) if optimizers else module

    def backward(self, tensor: Tensor) -> None:
        """Plain backward."""
        tensor.backward()  # type: ignore[no-untyped-call]

    def clip_gradients(
        self, module: nn.Module, optimizer: Optimizer, *, max_norm: float, error_if_nonfinite: bool
    ) -> Any:
        """Scale all gradients together to at most ``max_norm``."""
        return nn.utils.clip_grad_norm_(module.parameters(), max_norm, error_if_nonfinite=error_if_nonfinite)

    def autocast(self) -> AbstractContextManager[None]:
        """Float32 throughout."""
        return nullcontext()

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """There is nobody else."""
        return obj


def scaler_of(engine: Engine) -> Any:
    """What scales the loss where gradients are float16, as `torch.amp.GradScaler`; else None."""
    precision = getattr(getattr(engine, "strategy", None), "precision", None)
    return getattr(precision, "scaler", None)


def need(*packages: str) -> None:
    """Check that optional packages are there, without importing them.

    Raises:
        TrainingError: one is not; the message holds the command that brings it.
    """
    missing = [p for p in packages if importlib.util.find_spec(p) is None]
    if missing:
        raise TrainingError(
            f"training needs {', '.join(missing)}, not installed here; run: {install('train')}"
        )


def open_fabric(*, accelerator: str = "auto", devices: int = 1, precision: str = "32-true") -> Any:
    """A Fabric; several devices train by DDP. Call its ``launch`` with the function to run on each.

    Raises:
        TrainingError: the package is missing, or this machine has no such device.
    """
    need("lightning_fabric")
    fabric = importlib.import_module("lightning_fabric")
    strategies = importlib.import_module("lightning_fabric.strategies")
    exceptions = importlib.import_module("lightning_fabric.utilities.exceptions")
    many = strategies.DDPStrategy(start_method="spawn", find_unused_parameters=True)
    try:
        return cast(Any, fabric.Fabric)(
            accelerator=accelerator,
            devices=devices,
            precision=precision,
            strategy=many if devices > 1 else "auto",
        )
    except (exceptions.MisconfigurationException, RuntimeError, ValueError) as error:
        raise TrainingError(f"accelerator {accelerator!r} with {devices} devices: {error}") from error
