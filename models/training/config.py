"""One run as TOML: strict, frozen, with an error that names the nearest known key.

Values only: reading a file touches neither torch nor any data. ``recipe = "shipped"`` marks the file of the
weights that ship, which `models.train` reads.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.encoders.hub import spec
from models.span import FULL, Span

Modality = Literal["text", "audio", "visual"]
MODALITIES: tuple[Modality, ...] = ("text", "audio", "visual")


class TrainingError(ValueError):
    """A configuration, file or package that training cannot use; the message says what to do."""


class RunsFailedError(TrainingError):
    """Some runs of many failed; the others are kept."""


class Table(BaseModel):
    """A table of the file: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Data(Table):
    """What is read; ``corpus`` is a name or a path that `models.data.load` knows.

    ``text`` is ``packaged`` (features that came with the corpus), ``frozen`` (MiniLM as published),
    ``frozen-layers`` (the same, its last four layers side by side), ``tuned`` (MiniLM fine-tuned on the
    corpus's train split), the path of an encoder file, or the name of a big encoder
    (`models.encoders.hub.spec`). Word errors are shares (0..1) of the words: of train and dev, and the rates
    at which test is measured besides gold.
    """

    corpus: str
    options: dict[str, Any] = Field(default_factory=dict)  # of the reader, such as fold = 2 of MUStARD
    text: str = "packaged"
    modalities: tuple[Modality, ...] = MODALITIES
    measures: tuple[str, ...] = ()  # of the voice, by name; empty: all but the absolute level
    train_word_errors: float = Field(0.0, ge=0, le=1)
    word_errors: tuple[float, ...] = ()
    leaks: Literal["drop", "keep"] = "drop"  # labels of train whose words stand in dev or test

    @model_validator(mode="after")
    def _possible(self) -> Data:
        if not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise ValueError(f"modalities {list(self.modalities)}: one or more of {', '.join(MODALITIES)}")
        if any(not 0 < rate <= 1 for rate in self.word_errors):
            raise ValueError(f"word_errors {list(self.word_errors)}: shares above 0, at most 1")
        if (self.train_word_errors or self.word_errors) and self.text == "packaged":
            raise ValueError('word errors need text = "frozen", "tuned" or an encoder file, not "packaged"')
        if spec.is_named(self.text):
            spec.parse(self.text, "text")
        return self


class Model(Table):
    """`models.conversation.Config` without what the corpus decides; ``context`` full ignores ``window``."""

    host: str = "speaker-gru"
    fusion: str = "lmam"
    placement: Literal["early", "early-residual", "late"] = "late"
    context: Literal["past", "full"] = "past"
    window: int = Field(16, ge=1, le=4096)
    dim: int = Field(128, ge=1, le=4096)
    speakers: int = Field(8, ge=1, le=4096)
    dropout: float = Field(0.2, ge=0, lt=1)
    host_options: dict[str, Any] = Field(default_factory=dict)
    fusion_options: dict[str, Any] = Field(default_factory=dict)

    @property
    def span(self) -> Span:
        """Which utterances may be read."""
        return FULL if self.context == "full" else Span(self.window, 0)


class Train(Table):
    """How it is trained; ``batch`` counts dialogues, ``patience`` epochs that are no better on dev.

    ``feature_noise`` is for features of an encoder that was tuned on train itself: they fit train better
    than anything new, and a model that reads them as they are trusts them too much.
    """

    epochs: int = Field(60, ge=1)
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    batch: int = Field(16, ge=1)
    clip: float = Field(1.0, gt=0)  # norm of the gradient
    smoothing: float = Field(0.0, ge=0, lt=1)
    patience: int = Field(12, ge=1)
    choose: Literal["weighted_f1", "loss"] = "weighted_f1"  # of dev, for the epoch that is kept
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warm_up: float = Field(0.0, ge=0, lt=1)  # share of all steps
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    loss: Literal["cross-entropy", "focal"] = "cross-entropy"
    gamma: float = Field(2.0, ge=0)  # of the focal loss
    class_weights: Literal["none", "balanced"] | tuple[float, ...] = "none"
    modality_dropout: dict[Modality, float] = Field(default_factory=dict)
    feature_noise: dict[Modality, float] = Field(default_factory=dict)  # in standard deviations of train

    @model_validator(mode="after")
    def _possible(self) -> Train:
        if any(not 0 <= share < 1 for share in self.modality_dropout.values()):
            raise ValueError(f"modality_dropout {self.modality_dropout}: shares from 0, below 1")
        if any(size < 0 for size in self.feature_noise.values()):
            raise ValueError(f"feature_noise {self.feature_noise}: standard deviations, from 0")
        if self.loss == "focal" and self.smoothing:
            raise ValueError('loss = "focal" has no smoothing; set smoothing = 0')
        return self


class RunConfig(Table):
    """One file of ``configs/models``."""

    recipe: Literal["conversation"] = "conversation"
    data: Data
    model: Model = Field(default_factory=Model)
    train: Train = Field(default_factory=Train)
    seed: int = Field(0, ge=0, lt=2**63)

    def digest(self) -> str:
        """Ten characters that change with any value except the seed; a default is as good as absent."""
        values = self.model_dump(mode="json", exclude={"seed"}, exclude_defaults=True)
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]

    def replace(self, **values: Any) -> RunConfig:
        """The same with some keys changed, as ``replace(**{"model.fusion": "add"})``, and checked again."""
        table = self.model_dump(mode="python", exclude_defaults=True)
        for key, value in values.items():
            *path, last = key.split(".")
            at = table
            for part in path:
                at = at.setdefault(part, {})
            at[last] = value
        return parse(table, "configuration")


def read(path: Path) -> RunConfig:
    """``path`` as a run.

    Raises:
        TrainingError: the file is missing, not TOML, or of the shipped recipe; a key is unknown (the nearest
            known ones are named) or a value is impossible.
    """
    table = read_table(path)
    if table.get("recipe", "conversation") == "shipped":
        raise TrainingError(f"{path}: the recipe of the shipped weights; 'lmam train {path}' runs it")
    return parse(table, str(path))


def read_table(path: Path) -> dict[str, Any]:
    """``path`` as TOML.

    Raises:
        TrainingError: missing, unreadable or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrainingError(f"{path}: no such configuration; configs/models holds examples") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TrainingError(f"{path}: not readable TOML ({error})") from error


def parse(table: Mapping[str, Any], where: str) -> RunConfig:
    """``table`` as a run; complaints name ``where`` and the key.

    Raises:
        TrainingError: see `read`.
    """
    try:
        return RunConfig.model_validate(dict(table))
    except ValidationError as error:
        raise TrainingError("\n".join(_complaint(e, where) for e in error.errors())) from error


def _complaint(error: Any, where: str) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key {key!r}; {nearest(str(error['loc'][-1]), error['loc'][:-1])}"
    if error["type"] == "missing":
        return f"{where}: the key {key!r} is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    if not key or error["type"] == "value_error":
        return f"{where}: {key + ': ' if key else ''}{message}"
    return f"{where}: {key}: {message} (got {error['input']!r})"


def nearest(key: str, table: Sequence[int | str]) -> str:
    """What may have been meant by ``key`` in the table at ``table``."""
    known = _keys(RunConfig, "")
    close = difflib.get_close_matches(key, {k.rpartition(".")[2] for k in known}, 3, 0.7)
    if close:
        return "did you mean " + " or ".join(sorted(k for k in known if k.rpartition(".")[2] in close)) + "?"
    prefix = "".join(f"{part}." for part in table)
    here = [k.removeprefix(prefix) for k in known if k.startswith(prefix)]
    return f"known: {', '.join(k for k in here if '.' not in k)}"


def _keys(model: type[BaseModel], prefix: str) -> list[str]:
    """Every key below ``model``, dotted."""
    out: list[str] = []
    for name, field in model.model_fields.items():
        out.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            out += _keys(field.annotation, f"{prefix}{name}.")
    return out
