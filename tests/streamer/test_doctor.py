from __future__ import annotations

import io
import json
import socket
from pathlib import Path

import pytest
from rich.console import Console

from models import checkpoint
from models.checkpoint import digest
from models.encoders import speaker
from streamer import doctor
from streamer.doctor import Check, checks, passed, render, to_json
from streamer.errors import CaptureError
from streamer.mqtt.broker import embedded_broker
from streamer.mqtt.options import Options
from streamer.sources import portaudio
from streamer.sources.portaudio import Microphone
from tests.data import speaker_encoder


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Check]:
    """What is found on the machine that runs the tests."""
    return {c.name: c for c in checks(tmp_path_factory.mktemp("state"))}


def test_what_the_set_up_installs_is_found(found: dict[str, Check]) -> None:
    for name in ("python", "torch", *doctor.LIBRARIES, "face detector", "voice activity", "pocketsphinx"):
        assert found[name].status == "ok", found[name].detail


def test_whatever_is_not_ok_says_what_is_wrong(found: dict[str, Check]) -> None:
    assert all(c.detail for c in found.values())


def test_the_embedded_broker_is_tried_unless_another_is_named(found: dict[str, Check]) -> None:
    assert found["broker"].status == "ok"
    assert "the embedded one answers, MQTT 3.1.1" in found["broker"].detail


def test_a_missing_library_is_a_failure_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.LIBRARIES, "no_such_library", "nothing")
    check = doctor._library("no_such_library")
    assert check.status == "fail"
    assert "needed for nothing" in check.detail
    assert "make setup" in check.advice


def test_without_portaudio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> list[Microphone]:
        raise CaptureError(portaudio.LIBRARY)

    monkeypatch.setattr(portaudio, "inputs", absent)
    check = doctor._microphones()
    assert check.status == "warn"
    assert "apt-get install libportaudio2" in check.detail


def test_microphones_are_listed_and_their_absence_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portaudio, "inputs", lambda: [Microphone(3, "desk", 1, 48000, True)])
    assert doctor._microphones() == Check("microphones", "ok", "3: desk (default)")
    monkeypatch.setattr(portaudio, "inputs", list)
    assert doctor._microphones().status == "warn"


def test_without_a_speaker_encoder_it_says_what_tells_speakers_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaker, "PACKAGE", "no_such_package")
    check = doctor._speakers()
    assert check.status == "ok"
    assert "by sound channel or transcript only (pip install --no-deps resemblyzer" in check.detail


def test_the_speaker_encoder_is_named_with_its_licence() -> None:
    path = speaker_encoder()
    check = doctor._speakers()
    assert check.status == "ok"
    assert str(path) in check.detail
    assert "Apache-2.0" in check.detail
    assert "commercial use: unclear" in check.detail


def test_a_damaged_speaker_encoder_is_a_warning_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "voices_elsewhere").mkdir()
    (tmp_path / "voices_elsewhere" / "__init__.py").touch()
    (tmp_path / "voices_elsewhere" / "pretrained.pt").write_bytes(b"x")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(speaker, "PACKAGE", "voices_elsewhere")
    check = doctor._speakers()
    assert check.status == "warn"
    assert "not a file of weights" in check.detail
    assert "--force-reinstall" in check.advice


def test_weights_tell_their_version_and_whether_they_may_be_used_commercially(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    meta = {"kind": "face", "config": {}, "name": "ours", "version": "7", "commercial_use": "no"}
    meta["data_licences"] = {"pictures": "for research"}
    checkpoint.save(tmp_path / "face.safetensors", {"w": torch.ones(2)}, meta)
    monkeypatch.setattr(doctor, "WEIGHTS", tmp_path)
    check = doctor._weights("face", "face")
    assert check.status == "ok"
    assert "ours 7" in check.detail
    assert "commercial use: no" in check.detail
    assert "pictures: for research" in check.detail


def test_weights_that_are_missing_truncated_or_of_another_kind_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    path = tmp_path / "face.safetensors"
    monkeypatch.setattr(doctor, "WEIGHTS", tmp_path)
    assert "no such weight file" in doctor._weights("face", "face").detail
    checkpoint.save(path, {"w": torch.ones(2)}, {"kind": "text", "config": {}})
    assert "'text'" in doctor._weights("face", "face").detail
    path.write_bytes(path.read_bytes()[:-4])
    check = doctor._weights("face", "face")
    assert "truncated" in check.detail
    assert (check.status, check.advice) == ("fail", doctor.REINSTALL)


def test_damaged_weights_that_were_pulled_are_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMAM_WEIGHTS", str(tmp_path))
    (tmp_path / "whisper-base").mkdir()
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
        (tmp_path / "whisper-base" / name).write_text("{}")
    (tmp_path / "yunet.onnx").write_text("no network")
    for check, name in ((doctor._whisper(), "whisper-base"), (doctor._face_detector(), "yunet")):
        assert (check.status, check.advice) == ("warn", f"lmam models pull {name}")
        assert "damaged" in check.detail


def test_a_fusion_that_was_trained_with_other_encoders_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(doctor, "WEIGHTS", tmp_path)
    checkpoint.save(tmp_path / "face.safetensors", {"w": torch.ones(2)}, {"kind": "face", "config": {}})
    for mark, status in ((digest(tmp_path / "face.safetensors"), "ok"), ("another", "warn")):
        facts = {"kind": "fusion", "config": {}, "encoders": {"face": mark}}
        checkpoint.save(tmp_path / "fusion.safetensors", {"w": torch.ones(2)}, facts)
        check = doctor._weights("fusion", "fusion")
        assert check.status == status
        assert ("other weights" in check.detail) == (status == "warn")


def test_a_state_folder_that_cannot_be_written_fails(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    check = doctor._state(blocked / "state")
    assert check.status == "fail"
    assert str(blocked) in check.detail


def test_a_full_disk_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ROOM", 1e30)
    assert doctor._state(tmp_path).status == "warn"


def test_a_state_folder_is_left_as_empty_as_it_was(tmp_path: Path) -> None:
    assert doctor._state(tmp_path / "state").status == "ok"
    assert list((tmp_path / "state").iterdir()) == []


def test_a_broker_that_refuses_is_a_failure_that_says_so() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        check = doctor._broker(f"mqtt://127.0.0.1:{port}")
    assert check.status == "fail"
    assert f"mqtt://127.0.0.1:{port}" in check.detail
    assert check.advice


async def test_a_broker_that_answers_tells_its_protocol() -> None:
    async with embedded_broker(0) as url:
        assert await doctor._connect(Options(url=url)) == ("3.1.1", None)


def test_what_is_no_broker_at_all_is_a_failure_that_shows_how_one_is_written() -> None:
    check = doctor._broker("localhost")
    assert check.status == "fail"
    assert "mqtt://host" in check.detail


def test_a_password_in_the_url_is_not_shown() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        check = doctor._broker(f"mqtt://me:secret@127.0.0.1:{free.getsockname()[1]}")
    assert "secret" not in check.detail + check.advice


def test_a_check_that_breaks_does_not_hide_the_others() -> None:
    def broken() -> Check:
        raise ZeroDivisionError("oops")

    assert doctor._guarded("part", broken) == Check(
        "part", "fail", "ZeroDivisionError: oops", doctor.REINSTALL
    )


def test_only_a_failure_fails() -> None:
    fine, poor = Check("a", "ok", "x"), Check("b", "warn", "y", "do")
    assert passed([fine, poor])
    assert not passed([fine, poor, Check("c", "fail", "z")])


def test_it_can_be_read_by_people_and_by_programs() -> None:
    found = [Check("a", "ok", "fine"), Check("b", "fail", "[broken]", "mend it")]
    file = io.StringIO()
    Console(file=file, width=60).print(render(found))
    assert "[broken]" in file.getvalue()
    assert "-> mend it" in file.getvalue()
    assert json.loads(json.dumps(to_json(found))) == {
        "ok": False,
        "checks": [
            {"name": "a", "status": "ok", "detail": "fine", "advice": ""},
            {"name": "b", "status": "fail", "detail": "[broken]", "advice": "mend it"},
        ],
    }


def test_a_head_beside_another_text_encoder_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run refuses it; another fusion is no more than a warning."""
    import torch

    monkeypatch.setattr(doctor, "WEIGHTS", tmp_path)
    for stem in ("text", "fusion"):
        checkpoint.save(tmp_path / f"{stem}.safetensors", {"w": torch.ones(2)}, {"kind": stem, "config": {}})
    mark = digest(tmp_path / "text.safetensors")
    for marks, status in (
        ({"text": mark, "fusion": mark}, "ok"),
        ({"text": mark, "fusion": "?"}, "warn"),
        ({"text": "?", "fusion": mark}, "fail"),
    ):
        facts = {"kind": "affect", "config": {}, "encoders": marks}
        checkpoint.save(tmp_path / "affect.safetensors", {"w": torch.ones(2)}, facts)
        assert doctor._weights("affect", "affect").status == status
