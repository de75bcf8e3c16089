"""What is on the disk is listed, checked and fetched; nothing half done is ever found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import streamer.weights as weights
from models.checkpoint import save
from models.encoders import speaker
from streamer.errors import ConfigError, StreamerError
from tests.data import speaker_encoder
from tests.publisher import Publisher, publisher
from tests.tiny_whisper import build

REPOSITORY = "Systran/faster-whisper-tiny"

pytestmark = pytest.mark.timeout(120)  # the first import of CTranslate2 may be slow


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LMAM_WEIGHTS", str(tmp_path / "weights"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "weights"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    with publisher() as made:
        monkeypatch.setenv("HF_ENDPOINT", made.address)
        yield made


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = build(tmp_path_factory.mktemp("tiny") / "model")
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_the_folder_is_the_one_of_the_environment_or_the_users(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert weights.folder() == folder
    monkeypatch.delenv("LMAM_WEIGHTS")
    assert weights.folder().parts[-2:] == ("lmam", "weights")


def test_what_can_be_pulled_is_listed_as_absent_until_it_is_there(folder: Path) -> None:
    row = {w.name: w for w in weights.list_weights()}
    assert row["whisper-base"].path is None
    assert row["whisper-base"].licence == "MIT"
    assert row["yunet"].path is None
    folder.mkdir()
    (folder / "yunet.onnx").write_bytes(b"x")
    row = {w.name: w for w in weights.list_weights()}
    assert row["yunet"].path == folder / "yunet.onnx"


def test_half_a_model_is_not_found(folder: Path) -> None:
    path = folder / "whisper-tiny"
    path.mkdir(parents=True)
    for name in ("model.bin", "config.json"):
        (path / name).write_bytes(b"x")
    assert weights.find("whisper-tiny") is None
    assert weights.missing(path) == ["tokenizer.json", "vocabulary.json"]


def test_a_model_put_there_by_hand_is_listed_and_can_be_verified(folder: Path) -> None:
    build(folder / "my-whisper")
    (row,) = [w for w in weights.list_weights() if w.name == "my-whisper"]
    assert row.version == "put there by hand"
    assert "the network loads" in weights.verify("my-whisper")


def test_a_recogniser_is_pulled_verified_and_described(
    folder: Path, server: Publisher, tiny: dict[str, bytes]
) -> None:
    server.repository(REPOSITORY, {**tiny, "README.md": b"not wanted"})
    told: list[str] = []
    path = weights.pull("whisper-tiny", lambda name, done, total: told.append(name))
    assert path == folder / "whisper-tiny" == weights.find("whisper-tiny")
    assert sorted(f.name for f in path.iterdir()) == sorted([*tiny, "source.json"])
    record = json.loads((path / "source.json").read_text())
    assert (record["repository"], record["revision"]) == (REPOSITORY, "cafe")
    assert set(told) == set(tiny)
    assert "checksums as published; the network loads" in weights.verify("whisper-tiny")


def test_pulling_what_is_there_asks_nobody(server: Publisher, tiny: dict[str, bytes]) -> None:
    server.repository(REPOSITORY, tiny)
    weights.pull("whisper-tiny")
    server.asked.clear()
    weights.pull("whisper-tiny")
    assert server.asked == []


def test_a_pull_that_broke_off_leaves_nothing_to_find_and_goes_on_later(
    folder: Path, server: Publisher, tiny: dict[str, bytes]
) -> None:
    server.repository(REPOSITORY, tiny)
    server.breaks[f"/{REPOSITORY}/resolve/cafe/model.bin"] = 1000
    with pytest.raises(StreamerError):
        weights.pull("whisper-tiny")
    assert weights.find("whisper-tiny") is None
    assert all(w.path is None for w in weights.list_weights() if not w.ships and not w.package)
    weights.pull("whisper-tiny")
    assert (folder / "whisper-tiny" / "model.bin").read_bytes() == tiny["model.bin"]
    assert [p.name for p in folder.iterdir()] == ["whisper-tiny"]


def test_a_damaged_model_fails_and_is_fetched_again(
    folder: Path, server: Publisher, tiny: dict[str, bytes]
) -> None:
    server.repository(REPOSITORY, tiny)
    path = weights.pull("whisper-tiny")
    (path / "model.bin").write_bytes(tiny["model.bin"][:-10])
    with pytest.raises(
        StreamerError, match=r"whisper-tiny: damaged .*model\.bin.*lmam models pull whisper-tiny"
    ):
        weights.verify("whisper-tiny")
    weights.pull("whisper-tiny")
    assert "as published" in weights.verify("whisper-tiny")


def test_offline_the_error_names_what_was_tried(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        StreamerError, match=r"127\.0\.0\.1:9/api/models/Systran/faster-whisper-tiny.*go online"
    ):
        weights.pull("whisper-tiny")


def test_the_face_detector_is_checked_against_the_published_checksum(
    folder: Path, server: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/yunet.onnx"] = b"the network of this test"
    known = replace(weights.KNOWN["yunet"], file=server.file("yunet.onnx"))
    monkeypatch.setitem(weights.KNOWN, "yunet", known)
    assert weights.pull("yunet") == folder / "yunet.onnx"
    assert weights.verify("yunet") == "checksum as published"
    (folder / "yunet.onnx").write_bytes(b"another network")
    with pytest.raises(StreamerError, match="not the published one"):
        weights.verify("yunet")


def test_the_face_detector_has_a_fixed_revision_and_checksum() -> None:
    file = weights.KNOWN["yunet"].file
    assert file is not None
    assert len(str(file.sha256)) == 64
    assert "/main/" not in file.url


def test_unknown_and_absent_weights_are_told_apart(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no such weights; known: whisper-tiny"):
        weights.verify("whisper-gigantic")
    with pytest.raises(ConfigError, match="no such weights"):
        weights.pull("whisper-gigantic")
    with pytest.raises(StreamerError, match=r"whisper-base: not in .*lmam models pull whisper-base"):
        weights.verify("whisper-base")


def test_what_ships_is_listed_with_its_facts_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "WEIGHTS", tmp_path / "shipped")
    meta = {"kind": "toy", "config": {}, "version": "3", "data_licences": ["MIT"], "commercial_use": "no"}
    path = tmp_path / "shipped" / "toy.safetensors"
    save(path, {"w": torch.ones(2, 2)}, meta)
    row = weights.list_weights()[0]
    facts = (row.name, row.kind, row.version, row.licence, row.commercial_use, row.ships)
    assert facts == ("toy", "toy", "3", "MIT", "no", True)
    assert weights.verify("toy") == "1 tensors of kind toy"
    with pytest.raises(ConfigError, match="ships with the package"):
        weights.pull("toy")
    path.write_bytes(path.read_bytes()[:-4])
    assert weights.list_weights()[0].problem is not None
    with pytest.raises(StreamerError, match="truncated"):
        weights.verify("toy")


def test_weights_that_hold_no_numbers_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "WEIGHTS", tmp_path)
    save(tmp_path / "toy.safetensors", {"w": torch.tensor([float("nan")])}, {"kind": "toy", "config": {}})
    with pytest.raises(StreamerError, match="install the package again"):
        weights.verify("toy")


def test_the_speaker_encoder_is_listed_with_its_licence_and_is_to_be_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaker, "PACKAGE", "no_such_package")
    (row,) = [w for w in weights.list_weights() if w.name == "speaker"]
    assert (row.path, row.commercial_use) == (None, "unclear")
    assert "Apache-2.0" in row.licence
    assert "VoxCeleb" in row.licence
    with pytest.raises(StreamerError, match=r"not installed; pip install --no-deps resemblyzer=="):
        weights.verify("speaker")
    with pytest.raises(ConfigError, match="a package of its own; pip install"):
        weights.pull("speaker")


def test_a_speaker_encoder_that_is_not_the_published_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "voices_elsewhere").mkdir()
    (tmp_path / "voices_elsewhere" / "__init__.py").touch()
    file = tmp_path / "voices_elsewhere" / "pretrained.pt"
    file.write_bytes(b"x")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(speaker, "PACKAGE", "voices_elsewhere")
    (row,) = [w for w in weights.list_weights() if w.name == "speaker"]
    assert row.path == file
    with pytest.raises(StreamerError, match="checksum is not the published one"):
        weights.verify("speaker")


def test_the_installed_speaker_encoder_is_the_published_one() -> None:
    speaker_encoder()
    assert weights.verify("speaker") == "checksum as published"


def test_a_set_trained_by_oneself_is_listed_with_its_licence_and_verified(folder: Path) -> None:
    facts = {"kind": "fusion", "config": {}, "data_licences": {"mine": "CC0"}, "commercial_use": "yes"}
    for name in ("fusion", "text"):
        save(folder / "own" / f"{name}.safetensors", {"a": torch.ones(2)}, facts)
    (folder / "text-alone").mkdir()
    rows = {w.name: w for w in weights.list_weights()}
    row = rows["own/fusion"]
    assert (row.commercial_use, row.licence, row.ships) == ("yes", "mine: CC0", False)
    assert "own/text" in rows
    assert not any(name.startswith("text-alone") for name in rows)
    assert weights.verify("own/fusion") == "1 tensors of kind fusion"
    (folder / "own" / "text.safetensors").write_bytes(b"x")
    with pytest.raises(StreamerError, match="own/text"):
        weights.verify("own/text")
