"""Looks at this machine part by part: each is OK, or says what to do. Changes nothing and fetches nothing."""

from __future__ import annotations

import asyncio
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from models.checkpoint import WEIGHTS, CheckpointError, digest, read_meta

from .errors import StreamerError

Status = Literal["ok", "warn", "fail"]
REINSTALL = "run 'make setup' (or pip install --editable .) again"
ROOM = 1e9  # bytes that should be free for logs, outboxes and weights
NEEDED = {  # weight files by stem, and their kind
    "text": "text-encoder",
    "face": "face",
    "voice": "voice",
    "fusion": "fusion",
    "affect": "affect",
}
BOUND = {"affect": "text"}  # refused beside another one than it was trained with
LIBRARIES = {  # imported name: what it is needed for
    "numpy": "numbers",
    "scipy": "voice measures",
    "onnxruntime": "voice activity",
    "av": "media files and network streams",
    "cv2": "pictures and webcams",
    "faster_whisper": "speech recognition",
    "aiomqtt": "publishing",
    "amqtt": "the embedded broker",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One part. ``warn``: it works less well or not at all, the rest does; ``fail``: nothing works without.

    ``advice`` is what to do, empty where there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    advice: str = ""


def checks(state_dir: Path, mqtt: str | None = None) -> list[Check]:
    """Every check, in the order of a signal's way through the program.

    Args:
        state_dir: Where outboxes and logs are to be kept.
        mqtt: URL of a broker to reach; None: the embedded one is tried.
    """
    looks: list[tuple[str, Callable[[], Check]]] = [
        ("python", _python),
        ("torch", _torch),
        *((name, partial(_library, name)) for name in LIBRARIES),
        ("microphones", _microphones),
        ("cameras", _cameras),
        ("face detector", _face_detector),
        ("voice activity", _vad),
        ("speakers", _speakers),
        ("whisper", _whisper),
        ("pocketsphinx", _pocketsphinx),
        *((f"weights: {stem}", partial(_weights, stem, kind)) for stem, kind in NEEDED.items()),
        ("state folder", partial(_state, state_dir)),
        ("broker", _embedded if mqtt is None else partial(_broker, mqtt)),
    ]
    return [_guarded(name, look) for name, look in looks]


def passed(found: list[Check]) -> bool:
    """Whether nothing failed."""
    return all(check.status != "fail" for check in found)


def to_json(found: list[Check]) -> dict[str, Any]:
    return {"ok": passed(found), "checks": [asdict(check) for check in found]}


def render(found: list[Check]) -> Table:
    """A table with what to do below each part that is not OK."""
    styles = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in found:
        said = Text(check.detail)
        if check.advice:
            said.append(f"\n-> {check.advice}", "bold")
        table.add_row(Text(check.status, styles[check.status]), check.name, said)
    return table


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    """A check that breaks in a way nobody foresaw is a finding, and must not hide the others."""
    try:
        return look()
    except StreamerError as error:
        return Check(name, "fail", str(error))
    except Exception as error:
        return Check(name, "fail", f"{type(error).__name__}: {error}", REINSTALL)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    detail = f"{version} in {sys.prefix}; {cores} core{'s' if cores > 1 else ''}"
    return Check("python", "ok", detail)


def _torch() -> Check:
    """Whether networks run on the GPU, tried with one small sum."""
    import torch

    version = torch.__version__
    if not torch.cuda.is_available():
        build = "CPU build" if torch.version.cuda is None else f"CUDA {torch.version.cuda}, no usable GPU"
        return Check("torch", "ok", f"{version} ({build}): networks run on the CPU")
    try:
        float(torch.ones(8, device="cuda").sum())
        name = torch.cuda.get_device_name()
    except RuntimeError as error:
        first = str(error).partition("\n")[0]
        return Check(
            "torch",
            "warn",
            f"{version}: there is a GPU, but it fails: {first}",
            "use device = 'cpu', or install the build that fits the driver (docs/install.md)",
        )
    return Check("torch", "ok", f"{version}, CUDA {torch.version.cuda} on {name}")


def _library(name: str) -> Check:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        return Check(name, "fail", f"cannot be imported ({error}); needed for {LIBRARIES[name]}", REINSTALL)
    return Check(name, "ok", f"{getattr(module, '__version__', 'installed')}: {LIBRARIES[name]}")


def _microphones() -> Check:
    from .sources.portaudio import inputs

    try:
        found = inputs()
    except StreamerError as error:
        return Check("microphones", "warn", str(error))
    if not found:
        return Check(
            "microphones",
            "warn",
            "PortAudio is there, but no device that records",
            "plug one in or start the sound server; files and cameras work without",
        )
    names = ", ".join(f"{m.index}: {m.name}{' (default)' if m.default else ''}" for m in found)
    return Check("microphones", "ok", names)


def _cameras() -> Check:
    """Device files only: opening a camera would switch its light on."""
    from .devices import cameras, why_no_cameras

    trouble = why_no_cameras()
    if trouble is not None:
        return Check("cameras", "warn", "no local camera that can be used", trouble)
    return Check("cameras", "ok", ", ".join(f"{c.path}: {c.name}" for c in cameras()))


def _face_detector() -> Check:
    from .faces.detect import Haar

    Haar(min_size=40)
    from .weights import find

    better = find("yunet")
    if better is None:
        return Check(
            "face detector",
            "ok",
            "Haar cascade: upright, frontal faces (lmam models pull yunet fetches a better one)",
        )
    return _damaged("face detector", "yunet") or Check("face detector", "ok", f"YuNet: {better}")


def _vad() -> Check:
    import numpy as np

    from .context import Context, Session
    from .vad.silero import BLOCK, Config, packaged

    nobody = Context(session=Session(conversation="doctor", purpose="other"), state_dir=Path())
    Config().build(nobody)()(np.zeros(BLOCK, np.float32))
    return Check("voice activity", "ok", f"Silero: {packaged()}")


def _speakers() -> Check:
    from models.encoders.speaker import COMMERCIAL_USE, INSTALL, LICENCE, SpeakerNet, packaged

    path = packaged()
    if path is None:
        detail = f"told apart by sound channel or transcript only ({INSTALL} tells voices apart)"
        return Check("speakers", "ok", detail)
    try:
        SpeakerNet.load(path)
    except CheckpointError as error:
        return Check("speakers", "warn", str(error), f"{INSTALL} --force-reinstall")
    detail = f"voices are told apart by {path} ({LICENCE}), commercial use: {COMMERCIAL_USE}"
    return Check("speakers", "ok", detail)


def _whisper() -> Check:
    from .weights import list_weights

    found = [w for w in list_weights() if w.kind == "speech recogniser" and w.path is not None]
    if not found:
        return Check(
            "whisper",
            "warn",
            "no weights here: words come from sidecar transcripts or pocketsphinx (4 in 10 are wrong)",
            "lmam models pull whisper-base",
        )
    for w in found:
        if (check := _damaged("whisper", w.name)) is not None:
            return check
    return Check("whisper", "ok", ", ".join(f"{w.name}: {w.path}" for w in found) + _ctranslate2())


def _damaged(part: str, name: str) -> Check | None:
    """A warning where the weights ``name`` that were pulled are not what they should be."""
    from .weights import verify

    try:
        verify(name)
    except StreamerError as error:
        what, _, advice = str(error).rpartition("; ")
        return Check(part, "warn", what, advice)
    return None


def _ctranslate2() -> str:
    import ctranslate2  # type: ignore[import-untyped]

    return " (on a GPU)" if ctranslate2.get_cuda_device_count() else " (on the CPU)"


def _pocketsphinx() -> Check:
    import pocketsphinx  # type: ignore[import-untyped]

    model = Path(pocketsphinx.get_model_path()) / "en-us"
    if not model.is_dir():
        return Check("pocketsphinx", "warn", f"its model is missing: {model}", REINSTALL)
    return Check("pocketsphinx", "ok", "US English, the recogniser of last resort")


def _weights(stem: str, kind: str) -> Check:
    """Whether the file is there and what it says it is; the fusion must fit the encoders beside it."""
    from .weights import in_words

    name, path = f"weights: {stem}", WEIGHTS / f"{stem}.safetensors"
    try:
        meta = read_meta(path)
    except CheckpointError as error:
        return Check(name, "fail", str(error), REINSTALL)
    if meta.get("kind") != kind:
        detail = f"{path}: holds weights of kind {meta.get('kind')!r}, expected {kind!r}"
        return Check(name, "fail", detail, REINSTALL)
    detail = (
        f"{meta.get('name', stem)} {meta.get('version', '?')}, {path.stat().st_size / 1e6:.1f} MB,"
        f" commercial use: {meta.get('commercial_use', 'unclear')},"
        f" data: {in_words(meta.get('data_licences', '?'))}"
    )
    strangers = [other for other, mark in meta.get("encoders", {}).items() if not _is(other, mark)]
    if strangers:
        detail += f"; it was trained with other weights than these for: {', '.join(strangers)}"
        return Check(name, "fail" if BOUND.get(stem) in strangers else "warn", detail, REINSTALL)
    return Check(name, "ok", detail)


def _is(stem: str, mark: str) -> bool:
    path = WEIGHTS / f"{stem}.safetensors"
    return not path.exists() or digest(path) == mark


def _state(folder: Path) -> Check:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check(
            "state folder",
            "fail",
            f"{folder}: cannot be written ({error.strerror or error})",
            "set state_dir to a folder that can",
        )
    if free < ROOM:
        return Check("state folder", "warn", f"{folder}: only {free / 1e6:.0f} MB free", "make room")
    return Check("state folder", "ok", f"{folder} ({free / 1e9:.0f} GB free)")


def _embedded() -> Check:
    """The broker inside our own process, on a free port."""
    from .mqtt.broker import embedded_broker
    from .mqtt.options import Options

    async def reached() -> tuple[str | None, str | None]:
        async with embedded_broker(0) as url:
            return await _connect(Options(url=url, protocol="3.1.1"))

    version, problem = asyncio.run(reached())
    if version is None:
        return Check("broker", "fail", f"the embedded one: {problem}", REINSTALL)
    return Check("broker", "ok", f"the embedded one answers, MQTT {version} (--mqtt URL tries another)")


def _broker(url: str) -> Check:
    from pydantic import ValidationError

    from .mqtt.options import Options

    try:
        options = Options(url=url)
        version, problem = asyncio.run(_connect(options))
    except ValidationError as error:
        return Check("broker", "fail", str(error.errors()[0]["msg"]).removeprefix("Value error, "))
    if version is None:
        return Check(
            "broker",
            "fail",
            f"{options.address}: {problem}",
            "is it running, is the address right, does a firewall stand between?",
        )
    return Check("broker", "ok", f"{options.address} answers, MQTT {version}")


async def _connect(options: Any) -> tuple[str | None, str | None]:
    """The protocol of one connection, or what was wrong with it. Nothing is published."""
    from .clock import StreamClock
    from .mqtt.connection import Connection
    from .mqtt.link import Identity, Link

    said: list[str | None] = [None]
    version: str | None = None

    async def talk(connection: Connection) -> None:
        nonlocal version
        version = "5" if connection.v5 else "3.1.1"

    link = Link(options, Identity(), StreamClock(), said.append)
    link.leave()  # one attempt only
    await link.keep(talk)
    return version, said[-1]
