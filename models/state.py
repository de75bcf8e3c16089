"""State as a value: what a conversation carries from one utterance to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree


class State(Mapping[str, Tensor]):
    """Tensors by name, each with the conversation as its first dimension; never changed in place.

    ``State(**state.tensors())`` is the way back from storage. Parts of a larger state have dotted names:
    ``State.join(host=a, fusion=b).part("host")`` is ``a``.
    """

    __slots__ = ("_tensors",)

    def __init__(self, **tensors: Tensor) -> None:
        self._tensors = dict(tensors)

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        return f"State({', '.join(f'{n}: {tuple(t.shape)}' for n, t in self.items())})"

    def tensors(self) -> dict[str, Tensor]:
        """A flat dict for storage."""
        return dict(self._tensors)

    def sizes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor without the conversations: the same for every state of a model."""
        return {n: tuple(t.shape[1:]) for n, t in self.items()}

    def expect(self, sizes: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse the state of another model, or of the same with another window.

        Raises:
            ValueError: its tensors are others than ``sizes``.
        """
        if self.sizes() != sizes:
            raise ValueError(f"{self}: the state of another model or window; expected {dict(sizes)}")

    def map(self, change: Callable[[Tensor], Tensor]) -> State:
        """``change`` of every tensor."""
        return State(**{n: change(t) for n, t in self.items()})

    def to(self, device: str | torch.device) -> State:
        """The same state on ``device``."""
        return self.map(lambda t: t.to(device))

    def part(self, name: str) -> State:
        """What `join` stored under ``name``; empty if nothing was."""
        return State(**{n.removeprefix(name + "."): t for n, t in self.items() if n.startswith(name + ".")})

    @classmethod
    def join(cls, **parts: State) -> State:
        """One state of several, each under its name."""
        return cls(**{f"{name}.{n}": t for name, state in parts.items() for n, t in state.items()})

    @classmethod
    def stack(cls, states: list[State]) -> State:
        """Conversations end to end as one batch.

        Raises:
            ValueError: no states, or states of different models.
        """
        if not states or any(s.sizes() != states[0].sizes() for s in states):
            raise ValueError("can only stack one or more states of the same model")
        return cls(**{n: torch.cat([s[n] for s in states]) for n in states[0]})


def rolled(old_BW: Tensor, new_B1: Tensor) -> Tensor:
    """A memory ``[B, W, ...]`` with the row ``new_B1 [B, 1, ...]`` at its end in place of the oldest.

    One that holds no rows (W = 0) stays as it is.
    """
    return torch.cat([old_BW[:, 1:], new_B1], 1) if old_BW.shape[1] else old_BW


def _flatten(state: State) -> tuple[list[Any], list[str]]:
    return list(state.values()), list(state)


def _unflatten(tensors: Any, names: Any) -> State:
    return State(**dict(zip(names, tensors, strict=True)))


def _flatten_with_keys(state: State) -> tuple[list[Any], list[str]]:
    return [(pytree.MappingKey(name), tensor) for name, tensor in state.items()], list(state)


# torch.compile and torch.export see through a state to its tensors.
pytree.register_pytree_node(
    State,
    _flatten,
    _unflatten,
    serialized_type_name="models.state.State",
    flatten_with_keys_fn=_flatten_with_keys,
)
