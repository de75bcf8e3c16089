"""Conversation hosts by name, one file each; every one takes every fusion (see `models.hosts.base`)."""

from __future__ import annotations

import importlib
from typing import Any

from models.hosts.base import Host
from models.span import Span

# name: (module, class)
HOSTS: dict[str, tuple[str, str]] = {
    "speaker-gru": ("speaker_gru", "SpeakerGru"),
    "bc-lstm": ("bc_lstm", "BcLstm"),
    "text-cnn": ("text_cnn", "TextCnn"),
    "dialogue-rnn": ("dialogue_rnn", "DialogueRnn"),
    "dialogue-gcn": ("dialogue_gcn", "DialogueGcn"),
    "mmgcn": ("mmgcn", "Mmgcn"),
    "transformer": ("transformer", "Transformer"),
}


def build(
    name: str,
    *,
    streams: int,
    dim: int,
    span: Span,
    speakers: int = 8,
    dropout: float = 0.2,
    **options: Any,
) -> Host:
    """The host ``name`` for ``streams`` streams; ``options`` are its own.

    Raises:
        ValueError: no such host, or options that it does not have.
    """
    if name not in HOSTS:
        raise ValueError(f"no host {name!r}; there are {', '.join(HOSTS)}")
    module, kind = HOSTS[name]
    make = getattr(importlib.import_module(f"models.hosts.{module}"), kind)
    try:
        host: Host = make(streams=streams, dim=dim, span=span, speakers=speakers, dropout=dropout, **options)
    except TypeError as error:
        raise ValueError(f"host {name!r} with {options}: {error}") from error
    return host
