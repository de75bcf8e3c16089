"""Files come whole and as published, or not at all; what came before a break is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from streamer.download import fetch, hub_files
from streamer.errors import StreamerError
from tests.publisher import Publisher, publisher

DATA = bytes(range(256)) * 4000  # about a megabyte


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with publisher() as made:
        made.files["/net.onnx"] = DATA
        yield made


def ignore(name: str, done: int, total: int) -> None:
    """A report that nobody reads."""


def test_a_file_arrives_whole_and_its_progress_is_reported(server: Publisher, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    fetch(server.file("net.onnx"), tmp_path / "net.onnx", lambda *facts: told.append(facts))
    assert (tmp_path / "net.onnx").read_bytes() == DATA
    assert told[-1] == ("net.onnx", len(DATA), len(DATA))
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})
    assert list(tmp_path.iterdir()) == [tmp_path / "net.onnx"]


def test_a_download_that_broke_off_goes_on_where_it_stopped(server: Publisher, tmp_path: Path) -> None:
    server.breaks["/net.onnx"] = 600_000
    with pytest.raises(StreamerError, match="broke off after 600000 of 1024000 bytes; try again"):
        fetch(server.file("net.onnx"), tmp_path / "net.onnx", ignore)
    assert not (tmp_path / "net.onnx").exists()
    fetch(server.file("net.onnx"), tmp_path / "net.onnx", ignore)
    assert (tmp_path / "net.onnx").read_bytes() == DATA
    assert server.asked[-1] == ("/net.onnx", "bytes=600000-")


def test_a_server_that_cannot_resume_is_asked_for_the_whole(server: Publisher, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "net.onnx.part").write_bytes(DATA[:1000])
    fetch(server.file("net.onnx"), tmp_path / "net.onnx", ignore)
    assert (tmp_path / "net.onnx").read_bytes() == DATA


def test_a_file_that_is_there_and_sound_is_not_fetched_again(server: Publisher, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(DATA)
    fetch(server.file("net.onnx"), tmp_path / "net.onnx", ignore)
    assert server.asked == []


def test_a_damaged_file_is_replaced(server: Publisher, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(DATA[:-1] + b"x")
    fetch(server.file("net.onnx"), tmp_path / "net.onnx", ignore)
    assert (tmp_path / "net.onnx").read_bytes() == DATA


def test_what_is_not_as_published_never_gets_its_name(server: Publisher, tmp_path: Path) -> None:
    wanted = replace(server.file("net.onnx"), sha256="0" * 64)
    with pytest.raises(StreamerError, match=r"net\.onnx: what came is not what was published"):
        fetch(wanted, tmp_path / "net.onnx", ignore)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_cannot_be_reached_is_named(tmp_path: Path, server: Publisher) -> None:
    wanted = replace(server.file("net.onnx"), url="http://127.0.0.1:9/net.onnx")
    with pytest.raises(StreamerError, match=r"127\.0\.0\.1:9/net\.onnx: cannot be reached .*go online"):
        fetch(wanted, tmp_path / "net.onnx", ignore)


def test_an_answer_that_is_an_error_is_told(server: Publisher, tmp_path: Path) -> None:
    wanted = replace(server.file("net.onnx"), url=f"{server.address}/gone")
    with pytest.raises(StreamerError, match=r"/gone: the server says 404"):
        fetch(wanted, tmp_path / "net.onnx", ignore)


def test_a_hub_tells_revision_sizes_and_checksums(server: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    server.repository("who/net", {"model.bin": DATA, "config.json": b"{}", "README.md": b"read"})
    revision, files = hub_files("who/net", ("model.bin", "config.json", "vocabulary.json"))
    assert revision == "cafe"
    assert [(f.name, f.size, f.sha256 is None, f.blob is None) for f in files] == [
        ("model.bin", len(DATA), False, True),
        ("config.json", 2, True, False),
    ]


def test_gits_own_checksum_is_checked_too(
    server: Publisher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    server.repository("who/net", {"config.json": b"{}"})
    _, (file,) = hub_files("who/net", ("config.json",))
    fetch(file, tmp_path / "config.json", ignore)
    assert (tmp_path / "config.json").read_bytes() == b"{}"
    with pytest.raises(StreamerError, match="not what was published"):
        fetch(replace(file, blob="0" * 40), tmp_path / "other.json", ignore)


def test_a_page_that_is_no_hub_is_named(server: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    server.files["/api/models/who/net/revision/main"] = b"<html>log in first</html>"
    with pytest.raises(StreamerError, match="not the answer of a model hub"):
        hub_files("who/net", ("model.bin",))
