from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from streamer.clock import StreamClock
from streamer.errors import CaptureError
from streamer.sources.webcam import Config, check, open_webcam, source
from tests.fakes import Caught
from tests.virtual import until

from .files import context, film, picture, shown


def test_a_webcam_that_is_not_there_is_refused_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"/dev/video987 is not there; cameras found: "):
        Config(device=987).build(context(tmp_path))
    with pytest.raises(CaptureError, match="is not there"):
        Config(device=str(tmp_path / "video0")).build(context(tmp_path))


def test_a_device_that_may_not_be_used_tells_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "video0"
    device.touch()
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(CaptureError, match="usermod -aG video"):
        check(str(device))


def test_a_device_that_cannot_be_opened_may_be_in_use(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.write_bytes(b"no camera")
    with pytest.raises(CaptureError, match="is another program using it"):
        open_webcam(Config(device=str(device)))


async def test_opencv_delivers_pictures_through_the_source(tmp_path: Path) -> None:
    """A film stands for the camera: OpenCV reads both alike."""
    path = film(tmp_path / "a.mp4", seconds=2.0, audio_codec="aac")
    ctx, out = context(tmp_path), Caught()
    camera = Config(device=str(path), fps=240, frozen_after=None).build(ctx)
    task = asyncio.create_task(camera.run(out, StreamClock()))
    await until(lambda: "webcam" in ctx.notices.all())  # the film, unlike a camera, ends
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert out.video
    assert [f.time for f in out.video] == sorted(f.time for f in out.video)
    assert all(f.bgr.shape == (48, 64, 3) for f in out.video)
    numbers = [shown(f.bgr) for f in out.video]
    assert numbers == sorted(numbers)
    assert ctx.notices.all()["webcam"].startswith("the camera gives no more pictures")
    assert not [t for t in threading.enumerate() if t.name == "webcam"]


def test_the_rules_of_the_config_reach_the_watch(tmp_path: Path) -> None:
    camera = source(Config(frozen_after=9.0), context(tmp_path), lambda: pytest.fail("not opened yet"))
    assert camera.look(picture(1), 0.0)
    assert camera.look(picture(1), 8.9)
    assert not camera.look(picture(1), 9.1)


@pytest.mark.parametrize("wrong", [{"fps": 0}, {"width": 0}, {"frozen_after": 0}, {"colour": True}])
def test_values_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Config(**wrong)  # type: ignore[arg-type]
