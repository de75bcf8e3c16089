"""Fetching files over HTTPS: checked against the publisher's checksums, resumed where they were cut off."""

from __future__ import annotations

import hashlib
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

from .errors import StreamerError

HUB = "https://huggingface.co"  # HF_ENDPOINT names a mirror
TIMEOUT = 30.0  # seconds without a byte
PIECE = 1 << 18

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class File:
    """What a publisher offers: ``sha256`` of its bytes, or ``blob``, the SHA-1 that git gives them."""

    name: str
    url: str
    size: int
    sha256: str | None = None
    blob: str | None = None


def hub_files(repository: str, wanted: Iterable[str]) -> tuple[str, list[File]]:
    """The newest revision of a model hub's ``repository`` and the ``wanted`` files it has.

    Raises:
        StreamerError: no network, no such repository, or an answer that cannot be read.
    """
    hub = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
    address = f"{hub}/api/models/{repository}/revision/main?blobs=true"
    try:
        with _open(urllib.request.Request(address)) as answer:
            told = json.load(answer)
        revision = str(told["sha"])
        listed = {str(s["rfilename"]): s for s in told["siblings"]}
        files = [
            _hub_file(f"{hub}/{repository}/resolve/{revision}/{n}", listed[n]) for n in wanted if n in listed
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise StreamerError(f"{address}: not the answer of a model hub ({error!r})") from error
    return revision, files


def fetch(file: File, path: Path, report: Report) -> None:
    """Bring ``file`` to ``path``; a ``.part`` file beside it holds what came so far.

    Raises:
        StreamerError: no network, or what came is not what was published.
        OSError: the disk cannot be written.
    """
    if path.is_file() and _sound(path, file):
        return
    part = path.with_name(path.name + ".part")
    have = part.stat().st_size if part.is_file() else 0
    if have > file.size:
        have = 0
    if have < file.size:
        _download(file, part, have, report)
    if not _sound(part, file):
        part.unlink()
        raise StreamerError(
            f"{file.url}: what came is not what was published (size or checksum differs); try again, and if"
            " it stays so, something between here and the publisher changes the file"
        )
    os.replace(part, path)


def _hub_file(url: str, told: Any) -> File:
    large = told.get("lfs") or {}
    return File(
        str(told["rfilename"]),
        url,
        int(large.get("size", told["size"])),
        sha256=large.get("sha256"),
        blob=None if large else told["blobId"],
    )


def _download(file: File, part: Path, have: int, report: Report) -> None:
    request = urllib.request.Request(file.url, headers={"Range": f"bytes={have}-"} if have else {})
    with _open(request) as answer:
        resumed = have > 0 and answer.status == 206
        done = have if resumed else 0
        with part.open("ab" if resumed else "wb") as out:
            while piece := _read(answer, file.url):
                out.write(piece)
                done += len(piece)
                report(file.name, done, file.size)
    if done < file.size:
        raise StreamerError(
            f"{file.url}: broke off after {done} of {file.size} bytes; try again, it goes on from there"
        )


def _open(request: urllib.request.Request) -> Any:
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            raise StreamerError(f"{request.full_url}: the server says {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise _offline(request.full_url, error) from error


def _read(answer: IO[bytes], url: str) -> bytes:
    try:
        return answer.read(PIECE)
    except (OSError, HTTPException) as error:
        raise _offline(url, error) from error


def _offline(url: str, error: Exception) -> StreamerError:
    reason = getattr(error, "reason", None) or error
    return StreamerError(
        f"{url}: cannot be reached ({reason}); go online and try again (what came so far is kept), or put"
        " the files there by hand (docs/speech.md)"
    )


def _sound(path: Path, file: File) -> bool:
    if path.stat().st_size != file.size:
        return False
    if file.sha256 is not None:
        digest, wanted = hashlib.sha256(), file.sha256
    else:
        digest, wanted = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False), str(file.blob)
    with path.open("rb") as data:
        while piece := data.read(PIECE):
            digest.update(piece)
    return digest.hexdigest() == wanted
