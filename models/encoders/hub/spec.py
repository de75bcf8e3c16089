"""What names a big encoder, in a configuration or on the command line; reading a name touches no file.

hf:roberta-large                        a model of the Hugging Face hub
hf:./my-model?pool=cls&layers=4         a directory, with options behind a question mark
torchaudio:HUBERT_BASE                  a pipeline of torchaudio (voices)
timm:./my-face-network                  a network of timm, from a directory or the hub (faces)
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

SOURCES = {"text": ("hf",), "audio": ("hf", "torchaudio"), "visual": ("hf", "timm")}
PREFIXES = tuple(f"{source}:" for source in ("hf", "torchaudio", "timm"))
_USUAL = frozenset(("batch", "device"))
OPTIONS = {
    ("text", "hf"): _USUAL | {"pool", "layers", "tokens", "revision"},
    ("audio", "hf"): _USUAL | {"layers", "revision"},
    ("audio", "torchaudio"): _USUAL | {"layers"},
    ("visual", "hf"): _USUAL | {"pool", "layers", "revision"},
    ("visual", "timm"): _USUAL | {"revision"},
}
CHOICES = {"pool": ("mean", "cls"), "device": ("auto", "cpu", "cuda")}


@dataclass(frozen=True, slots=True)
class Spec:
    """A name taken apart.

    ``pool``: the mean over what is no padding, or the first token (``cls``) of the mean of the last
    ``layers`` layers; ``tokens`` of a text are read at most; ``batch`` inputs go through together at most.
    """

    modality: str
    source: str
    name: str
    pool: str = "mean"
    layers: int = field(default=1, metadata={"most": 64})
    tokens: int = field(default=128, metadata={"most": 8192})
    batch: int = field(default=32, metadata={"most": 4096})
    device: str = "auto"
    revision: str = ""

    def __str__(self) -> str:
        return f"{self.source}:{self.name}"

    @property
    def depends(self) -> str:
        """All that decides about the features besides the files."""
        return f"{self.modality} {self.source} {self.pool} {self.layers} {self.tokens}"

    @property
    def short(self) -> str:
        """The last part of the name, the same wherever the files lie."""
        return Path(self.name).expanduser().resolve().name if self.is_path else self.name.rpartition("/")[2]

    @property
    def is_path(self) -> bool:
        """Whether the name is a directory's: it is there, or written as only a path is."""
        path = Path(self.name).expanduser()
        return path.exists() or self.name.startswith(("/", ".", "~")) or self.name.count("/") > 1


def is_named(text: str) -> bool:
    """Whether ``text`` names a big encoder."""
    return text.startswith(PREFIXES)


def parse(text: str, modality: str) -> Spec:
    """``text`` as the name of an encoder of ``modality``.

    Raises:
        ValueError: another form, an unknown option or an impossible value.
    """
    source, colon, rest = text.partition(":")
    name, _, query = rest.partition("?")
    known = SOURCES[modality]
    if not colon or source not in known or not name:
        forms = " or ".join(f"{s}:NAME" for s in known)
        raise ValueError(f"{text!r} names no encoder of modality {modality}; expected {forms}")
    options = OPTIONS[modality, source]
    values: dict[str, Any] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in options:
            raise ValueError(f"{text!r}: no option {key!r}; there are {', '.join(sorted(options))}")
        values[key] = _value(text, key, value)
    return Spec(modality, source, name, **values)


def _value(text: str, key: str, value: str) -> str | int:
    if key in CHOICES:
        if value not in CHOICES[key]:
            raise ValueError(f"{text!r}: {key}={value}; expected {' or '.join(CHOICES[key])}")
        return value
    most = next(f.metadata.get("most") for f in fields(Spec) if f.name == key)
    if most is None:
        return value
    if not value.isdecimal() or not 1 <= int(value) <= most:
        raise ValueError(f"{text!r}: {key}={value}; expected a number from 1 to {most}")
    return int(value)
