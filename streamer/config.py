"""Strict TOML: one file becomes one frozen `RunConfig`; unknown keys are errors that name the known ones."""

from __future__ import annotations

import importlib
import importlib.metadata
import math
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from .errors import ConfigError
from .estimate import Config as EstimateConfig
from .join import Config as JoinConfig
from .segmenter import Config as SegmenterConfig

C = TypeVar("C", bound=BaseModel)
Table = dict[str, Any]
Purpose = Literal[
    "research", "personal", "robot", "medical", "safety", "demo", "other", "workplace", "education"
]
SECRET = frozenset({"url", "password"})  # keys whose values may hold a password, never to be shown
ENVIRONMENT = "LMAM__"  # LMAM__SEGMENTER__MAX_SPEECH=10 sets segmenter.max_speech


class RunConfig(BaseModel):
    """Everything one run needs. Tables with a ``kind`` are read by the module of that kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    purpose: Purpose | None = Field(None, description="what the estimates are for; required before capture")
    consent: Literal["explicit", "informed", "self"] | None = Field(
        None,
        description="live: explicit (each person agreed), informed (people were told, another lawful basis"
        " applies) or self (only the operator is captured)",
    )
    exemption: Literal["medical", "safety"] | None = Field(
        None, description="the reason that allows a workplace or school (EU AI Act Art. 5(1)(f))"
    )
    conversation: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_-]{1,64}$", description="continue this conversation; default: a new one"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where networks run")
    publish_text: bool = Field(False, description="whether words may leave the process")
    state_dir: Path | None = Field(
        None, description="where outboxes are kept; default: the user's state folder"
    )
    source: tuple[Table, ...] = Field((), description="[[source]] tables: microphone, webcam, media, ...")
    vad: Table = Field({"kind": "silero"}, description="voice activity detector")
    segmenter: SegmenterConfig = Field(default_factory=SegmenterConfig, description="endpointing")
    transcriber: Table = Field({"kind": "auto"}, description="speech recogniser, or none")
    speakers: Table = Field({"kind": "auto"}, description="who speaks, where neither channels nor tags tell")
    face: Table = Field(default_factory=dict, description="face encoder options")
    join: JoinConfig = Field(default_factory=JoinConfig, description="sound and picture together")
    estimate: EstimateConfig = Field(
        default_factory=EstimateConfig, description="how sure and how smooth estimates are"
    )
    weights: Path | None = Field(None, description="folder with text, voice and fusion weights")
    sink: tuple[Table, ...] = Field((), description="[[sink]] tables: console, jsonl, mqtt")

    @field_validator("source", "sink", mode="before")
    @classmethod
    def _several(cls, tables: Any, info: ValidationInfo) -> Any:
        if isinstance(tables, Mapping):
            raise ValueError(f"there may be several: write [[{info.field_name}]], with two brackets")
        return tables

    @field_validator("vad", "transcriber", "speakers")
    @classmethod
    def _kind(cls, table: Table, info: ValidationInfo) -> Table:
        """A table that says no kind is of the default one, so that one key of it can be set alone."""
        default: Table = cls.model_fields[str(info.field_name)].default
        return default | table

    @model_validator(mode="after")
    def _lawful(self) -> RunConfig:
        if self.purpose in ("workplace", "education") and self.exemption is None:
            raise ValueError(
                f"purpose = {self.purpose!r}: emotion inference at workplaces and in education is prohibited"
                " in the EU (AI Act Art. 5(1)(f)) save for medical or safety reasons; if one applies, add the"
                ' line exemption = "medical" or exemption = "safety"'
            )
        return self


def load(path: Path, settings: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> RunConfig:
    """Read ``path``, then apply ``LMAM__A__B=value`` variables, then ``a.b=value`` settings.

    Raises:
        ConfigError: names the file, the key and the known keys.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    return parse(RunConfig, override(table, settings, environment), str(path))


def override(
    table: Mapping[str, Any], settings: Sequence[str], environment: Mapping[str, str] | None = None
) -> Table:
    """``table`` with the values that the environment and the command line set."""
    merged: Table = _copy(table)
    variables = os.environ if environment is None else environment
    for name in sorted(variables):
        if name.startswith(ENVIRONMENT):
            path = name.removeprefix(ENVIRONMENT).lower().split("__")
            if not all(path):
                raise ConfigError(
                    f"environment variable {name}: names no key; expected {ENVIRONMENT}KEY=value or"
                    f" {ENVIRONMENT}TABLE__KEY=value, such as {ENVIRONMENT}SEGMENTER__MAX_SPEECH=10"
                )
            _put(merged, path, variables[name], f"environment variable {name}")
    for setting in settings:
        key, equals, value = setting.partition("=")
        path = [part.strip() for part in key.split(".")]
        if not equals or not all(path):
            raise ConfigError(
                f"--set {setting!r}: expected KEY=VALUE or TABLE.KEY=VALUE, such as segmenter.max_speech=10"
            )
        _put(merged, path, value, f"--set {setting}")
    return merged


def parse(cls: type[C], table: Mapping[str, Any], where: str) -> C:
    """``table`` as ``cls``; every complaint names ``where``, the key and what is known."""
    for key, value in _numbers(table):
        if not math.isfinite(value):
            raise ConfigError(f"{where}: {key}: expected a finite number (got {value})")
    try:
        return cls.model_validate(dict(table))
    except ValidationError as error:
        raise ConfigError("\n".join(_complaint(cls, e, where) for e in error.errors())) from error


def plugin(package: str, table: Mapping[str, Any], where: str) -> Any:
    """The `Config` of ``kind = "mqtt"`` is ``<package>.mqtt.Config``, or an entry point's of that name.

    Raises:
        ConfigError: no or unknown kind, a package that the kind needs is missing, or a wrong key.
    """
    options = dict(table)
    kind = options.pop("kind", None)
    if not isinstance(kind, str):
        raise ConfigError(f"{where}: needs a kind; known: {', '.join(kinds(package))}")
    return parse(_module(package, kind, where).Config, options, f"{where} (kind {kind})")


def kinds(package: str) -> list[str]:
    """The kinds of ``package`` that are installed, ours and third parties'."""
    folder = Path(importlib.import_module(package).__file__ or "").parent
    own = [f.stem for f in folder.glob("*.py") if f.stem != "__init__" and "class Config(" in f.read_text()]
    return sorted({*own, *(e.name for e in importlib.metadata.entry_points(group=package))})


def _module(package: str, kind: str, where: str) -> Any:
    name = f"{package}.{kind}"
    if kind.isidentifier():
        try:
            module = importlib.import_module(name)
            if hasattr(module, "Config"):
                return module
        except ModuleNotFoundError as error:
            if error.name != name:
                raise ConfigError(f"{where}: kind {kind!r} needs the package {error.name!r}") from error
    for entry in importlib.metadata.entry_points(group=package, name=kind):
        return entry.load()
    raise ConfigError(f"{where}: no kind {kind!r}; known: {', '.join(kinds(package))}")


def _complaint(cls: type[BaseModel], error: Any, where: str) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _fields_at(cls, error["loc"][:-1])
        return f"{where}: unknown key {key!r}; known: {', '.join(known) or 'none'}"
    message = str(error["msg"]).removeprefix("Value error, ")
    if not key:
        return f"{where}: {message}"
    secret = error["loc"][-1] in SECRET or error["type"] == "value_error"  # the latter tells what it may
    return f"{where}: {key}: {message}" + ("" if secret else f" (got {error['input']!r})")


def _fields_at(cls: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    for part in loc:
        annotation = cls.model_fields[str(part)].annotation if str(part) in cls.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return ["(see docs/configuration.md)"]
        cls = annotation
    return list(cls.model_fields)


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Every number with a point in ``value``, and its key: TOML has ``inf`` and ``nan``, too."""
    if isinstance(value, float):
        yield key, value
    elif isinstance(value, Mapping | list | tuple):
        inner = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, part in inner:
            yield from _numbers(part, f"{key}.{name}" if key else str(name))


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _copy(v) for k, v in value.items()}
    return [_copy(v) for v in value] if isinstance(value, list) else value


def _put(table: Any, path: Sequence[str], text: str, where: str) -> None:
    for i, part in enumerate(path[:-1]):
        table = _item(table, part, where) if isinstance(table, list) else table.setdefault(part, {})
        if not isinstance(table, dict | list):
            raise ConfigError(f"{where}: {'.'.join(path[: i + 1])} is not a table")
    if isinstance(table, list):
        raise ConfigError(f"{where}: name a key after the number, such as source.0.device")
    table[path[-1]] = _value(text)


def _item(tables: list[Any], part: str, where: str) -> Any:
    if not part.isdigit() or int(part) >= len(tables):
        raise ConfigError(f"{where}: expected a number below {len(tables)} in place of {part!r}")
    return tables[int(part)]


def _value(text: str) -> Any:
    """``text`` as a TOML value where it is one, else as the string it is."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
