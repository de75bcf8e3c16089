"""Which trained networks are on this disk, and how the ones that do not ship are fetched.

Weights lie in one folder (``LMAM_WEIGHTS``, else the user's data folder): ``whisper-base/`` and its like in
CTranslate2's form, ``yunet.onnx``. Only `pull` ever touches the network. What was pulled is described by
a ``source.json`` inside (repository, revision, size and checksum of every file): `verify` works offline.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models.checkpoint import WEIGHTS, CheckpointError, load, read_meta
from models.encoders import speaker

from .download import File, fetch, hub_files
from .errors import ConfigError, StreamerError

FOLDER = "LMAM_WEIGHTS"  # environment variable
RECORD = "source.json"
REQUIRED = ("model.bin", "config.json", "tokenizer.json")  # and a vocabulary.json or .txt
SPEAKER = "speaker"  # the weights that only a package of another project carries
OPTIONAL = ("preprocessor_config.json", "vocabulary.json", "vocabulary.txt")

Report = Callable[[str, int, int], None]  # file, bytes so far, bytes in all


@dataclass(frozen=True, slots=True)
class Known:
    """Weights that `pull` can fetch: a hub ``repository`` in CTranslate2's form, or a single ``file``."""

    name: str
    kind: str
    licence: str
    megabytes: int  # about
    repository: str | None = None
    file: File | None = None


@dataclass(frozen=True, slots=True)
class Weight:
    """One row of ``lmam models list``; ``path`` is None where the weights are not on this disk.

    ``package``: the package of another project that carries them.
    """

    name: str
    kind: str
    path: Path | None
    megabytes: float
    licence: str
    commercial_use: str
    version: str = ""
    ships: bool = False
    package: str = ""
    problem: str | None = None


def _whisper(size: str, megabytes: int, repository: str | None = None) -> Known:
    repository = repository or f"Systran/faster-whisper-{size}"
    return Known(f"whisper-{size}", "speech recogniser", "MIT", megabytes, repository)


_YUNET = "82b38c8f98e7b52aa171400f3e4c722352d0669f"  # the revision that put the file there
KNOWN = {
    known.name: known
    for known in (
        _whisper("tiny", 78),
        _whisper("tiny.en", 78),
        _whisper("base", 148),
        _whisper("base.en", 148),
        _whisper("small", 486),
        _whisper("small.en", 486),
        _whisper("medium", 1530),
        _whisper("medium.en", 1530),
        _whisper("large-v3", 3090),
        _whisper("large-v3-turbo", 1620, "mobiuslabsgmbh/faster-whisper-large-v3-turbo"),
        Known(
            "yunet",
            "face detector",
            "MIT",
            1,
            file=File(
                "yunet.onnx",
                f"https://github.com/opencv/opencv_zoo/raw/{_YUNET}"
                "/models/face_detection_yunet/face_detection_yunet_2023mar.onnx",
                size=232_589,
                sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
            ),
        ),
    )
}


def folder() -> Path:
    """Where weights that do not ship are kept: ``LMAM_WEIGHTS`` or the user's data folder."""
    from platformdirs import user_data_path

    return Path(os.environ[FOLDER]) if os.environ.get(FOLDER) else user_data_path("lmam") / "weights"


def find(name: str) -> Path | None:
    """The file or directory of ``name`` if its files are there (their contents are not checked)."""
    known = KNOWN.get(name)
    path = folder() / (known.file.name if known and known.file else name)
    if known is None or known.file is None:
        return path if path.is_dir() and not missing(path) else None
    return path if path.is_file() else None


def missing(directory: Path) -> list[str]:
    """The files that a directory of Whisper weights must hold and does not."""
    lacking = [name for name in REQUIRED if not (directory / name).is_file()]
    if not any((directory / f"vocabulary.{suffix}").is_file() for suffix in ("json", "txt")):
        lacking.append("vocabulary.json")
    return lacking


def list_weights() -> list[Weight]:
    """What ships, what was pulled and what can be."""
    return [*_ours(), _packaged(), *_pulled()]


def pull(name: str, report: Report = lambda file, done, total: None) -> Path:
    """Fetch ``name`` and return where it is; nothing happens if it is there and sound.

    A download that was cut off goes on where it stopped. Nothing gets its final name before its checksum
    was right.

    Raises:
        ConfigError: there are no such weights, or they ship with the package.
        StreamerError: no network, no space, or what came is not what was published; says what was tried.
    """
    known = _known(name)
    if find(name) is not None:
        try:
            verify(name)
            return folder() / (known.file.name if known.file else name)
        except StreamerError:
            pass  # damaged: fetch it again
    try:
        folder().mkdir(parents=True, exist_ok=True)
        return _pull_file(known.file, report) if known.file else _pull_directory(known, report)
    except OSError as error:
        raise StreamerError(f"{name}: cannot be written below {folder()} ({error})") from error


def verify(name: str) -> str:
    """Check ``name`` as far as can be done here and say what was checked.

    Raises:
        ConfigError: there are no such weights.
        StreamerError: they are absent, truncated or damaged; says what to do.
    """
    ours = {w.name: w.path for w in _ours()}
    if path := ours.get(name):
        return _verify_ours(path)
    if name == SPEAKER:
        return _verify_packaged()
    known = KNOWN.get(name)
    path = find(name)
    if known is None and path is not None:
        return _checked(name, path, None)
    known = _known(name)
    if path is None:
        expected = folder() / (known.file.name if known.file else name)
        lacking = f" (without {', '.join(missing(expected))})" if expected.is_dir() else ""
        raise StreamerError(f"{name}: not in {folder()}{lacking}; lmam models pull {name}")
    return _checked(name, path, known.file)


def _checked(name: str, path: Path, file: File | None) -> str:
    try:
        return _verify_file(path, file) if file else _verify_directory(path)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise StreamerError(f"{path}: damaged ({error}); lmam models pull {name}") from error


def _known(name: str) -> Known:
    if name in KNOWN:
        return KNOWN[name]
    if (WEIGHTS / f"{name}.safetensors").is_file():
        raise ConfigError(f"{name}: ships with the package; there is nothing to fetch")
    if name == SPEAKER:
        raise ConfigError(f"{name}: comes with a package of its own; {speaker.INSTALL}")
    raise ConfigError(f"{name}: no such weights; known: {', '.join(KNOWN)}")


def _pull_file(file: File, report: Report) -> Path:
    path = folder() / file.name
    fetch(file, path, report)
    return path


def _pull_directory(known: Known, report: Report) -> Path:
    """Into a directory of another name until all is there, so that half a model is never found."""
    assert known.repository is not None
    wanted = (*REQUIRED, *OPTIONAL)
    revision, files = hub_files(known.repository, wanted)
    partial, path = folder() / f"{known.name}.part", folder() / known.name
    partial.mkdir(exist_ok=True)
    for file in files:
        fetch(file, partial / file.name, report)
    if lacking := missing(partial):
        raise StreamerError(f"{known.repository}: the publisher's copy has no {', '.join(lacking)}")
    record = {
        "repository": known.repository,
        "revision": revision,
        "files": {f.name: {"size": f.size, "sha256": _sha256(partial / f.name)} for f in files},
    }
    (partial / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if path.exists():
        shutil.rmtree(path)
    partial.rename(path)
    return path


def _ours() -> Iterator[Weight]:
    """Weights that this project's commands trained: those that ship, and sets that were put into `folder`."""
    yield from _set(WEIGHTS, "", ships=True)
    for path in sorted(folder().glob("*/fusion.safetensors")):
        yield from _set(path.parent, f"{path.parent.name}/", ships=False)


def _set(directory: Path, prefix: str, *, ships: bool) -> Iterator[Weight]:
    for path in sorted(directory.glob("*.safetensors")):
        name, size = prefix + path.stem, path.stat().st_size / 1e6
        try:
            meta = read_meta(path)
        except CheckpointError as error:
            yield Weight(name, "?", path, size, "?", "?", ships=ships, problem=str(error))
            continue
        licences = meta.get("data_licences", "?")
        yield Weight(
            name,
            str(meta.get("kind", "?")),
            path,
            size,
            in_words(licences),
            str(meta.get("commercial_use", "?")),
            str(meta.get("version", "")),
            ships=ships,
        )


def _packaged() -> Weight:
    return Weight(
        SPEAKER,
        "speaker encoder",
        speaker.packaged(),
        speaker.MEGABYTES,
        speaker.LICENCE,
        speaker.COMMERCIAL_USE,
        package=speaker.PACKAGE,
    )


def in_words(licences: object) -> str:
    """``data: licence; data: licence`` of a header's mapping."""
    if isinstance(licences, dict):
        return "; ".join(f"{data}: {licence}" for data, licence in licences.items())
    return ", ".join(map(str, licences)) if isinstance(licences, list | tuple) else str(licences)


def _pulled() -> Iterator[Weight]:
    for known in KNOWN.values():
        path = find(known.name)
        yield Weight(known.name, known.kind, path, known.megabytes, known.licence, "yes")
    here = folder()
    for path in sorted(here.iterdir()) if here.is_dir() else ():
        if path.name not in KNOWN and path.suffix != ".part" and path.is_dir() and not missing(path):
            size = sum(f.stat().st_size for f in path.iterdir() if f.is_file()) / 1e6
            yield Weight(path.name, "speech recogniser", path, size, "?", "?", version="put there by hand")


def _verify_ours(path: Path) -> str:
    try:
        meta = read_meta(path)
        tensors = load(path, str(meta.get("kind"))).tensors
    except CheckpointError as error:
        raise StreamerError(f"{error}; install the package again") from error
    broken = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if broken:
        raise StreamerError(f"{path}: holds numbers that are none ({broken[0]}); install the package again")
    return f"{len(tensors)} tensors of kind {meta.get('kind')}"


def _verify_packaged() -> str:
    path = speaker.packaged()
    if path is None:
        raise StreamerError(f"{SPEAKER}: the package {speaker.PACKAGE} is not installed; {speaker.INSTALL}")
    if _sha256(path) != speaker.SHA256:
        raise StreamerError(
            f"{path}: damaged (its checksum is not the published one); {speaker.INSTALL} --force-reinstall"
        )
    return "checksum as published"


def _verify_file(path: Path, file: File) -> str:
    if _sha256(path) != file.sha256:
        raise ValueError("its checksum is not the published one")
    return "checksum as published"


def _verify_directory(path: Path) -> str:
    """Files as they were published where that is recorded; in any case the network must load."""
    record = path / RECORD
    published = json.loads(record.read_text(encoding="utf-8"))["files"] if record.is_file() else {}
    for name, facts in published.items():
        if _sha256(path / name) != facts["sha256"]:
            raise ValueError(f"{name}: its checksum is not the one that was published")
    from ctranslate2.models import Whisper  # type: ignore[import-untyped]

    Whisper(str(path), device="cpu")
    loads = "the network loads"
    return f"{len(published)} checksums as published; {loads}" if published else f"all files there; {loads}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
