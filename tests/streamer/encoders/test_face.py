import math
import shutil
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from models.encoders.face import DEFAULT, LABELS, FaceNet
from models.synthetic_faces import crops
from streamer.encoders.face import Config, FaceEncoder, NoFaces
from streamer.errors import EncodeError
from streamer.faces.detect import Haar, YuNet
from streamer.faces.pool import pool
from streamer.faces.square import Square
from streamer.stage import run_inline
from streamer.types import FaceSample, Picture, Progress, VideoFrame
from tests.data import shared_data

GRID = ("bbaf2n", "brbk7n", "lbax4n", "lrwp9a", "lwbsza", "pwij3p", "sbwe5n", "swiz3n", "swwp2s")
SHOWN = (*(f"grid_{name}.mpg" for name in GRID), "pyfeat_single_face.mp4", "pyfeat_WolfgangLanger_Pexels.mp4")
HAPPY = LABELS.index("happiness")


def config(detector: str) -> Config:
    if detector == "haar":
        return Config(detector="haar")
    path = shared_data("weights", "yunet", "face_detection_yunet_2026may.onnx")
    return Config(detector="yunet", yunet_path=path)


@cache
def faces_of(clip: str, detector: str) -> tuple[FaceSample, ...]:
    """Every face the stage reports in the first 6 s of ``clip``."""
    stage = config(detector).build("cpu")
    frames = clip_frames(shared_data("talking_faces", clip), until=6.0)
    return tuple(s for s in run_inline(stage, frames) if isinstance(s, FaceSample))


def clip_frames(path: Path, until: float) -> Iterator[VideoFrame]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.time is None or frame.time > until:
                return
            yield VideoFrame(frame.to_ndarray(format="bgr24"), frame.time)


@pytest.fixture
def portrait() -> Picture:
    return np.ascontiguousarray(pytest.importorskip("skimage.data").astronaut()[:, :, ::-1])


@pytest.fixture(scope="module")
def encoder() -> Config:
    return Config(detector="haar")


def still(bgr: Picture, seconds: float, fps: float = 25.0) -> list[VideoFrame]:
    return [VideoFrame(bgr, i / fps) for i in range(round(seconds * fps))]


def seen(stage: FaceEncoder, frames: list[VideoFrame]) -> list[FaceSample]:
    return [s for s in run_inline(stage, frames) if isinstance(s, FaceSample)]


@pytest.mark.parametrize("detector", ["haar", "yunet"])
@pytest.mark.parametrize("clip", SHOWN)
def test_the_one_face_of_a_clip_is_seen_in_nearly_every_analysed_picture(clip: str, detector: str):
    faces = faces_of(clip, detector)
    assert {face.track for face in faces} == {0}
    assert faces[0].time < 0.5
    length = min(6.0, faces[-1].time)
    assert len(faces) > 0.8 * 8 * (length - 0.4)


@pytest.mark.parametrize("detector", ["haar", "yunet"])
def test_a_face_that_leaves_is_gone_within_a_picture(detector: str):
    faces = faces_of("pyfeat_face_noface.mov", detector)
    assert {round(face.time) for face in faces} == {0, 1, 2}
    assert faces[-1].time < 2.45


@pytest.mark.parametrize("detector", ["haar", "yunet"])
def test_a_clip_without_a_face_gives_none(detector: str):
    assert faces_of("pyfeat_no_face.mp4", detector) == ()


@pytest.mark.parametrize("detector", ["haar", "yunet"])
def test_neutral_speakers_read_mostly_neutral(detector: str):
    readings = []
    for name in GRID:
        face = pool(faces_of(f"grid_{name}.mpg", detector))
        assert face is not None
        assert face.emotion is not None
        readings.append(LABELS[int(np.argmax(face.emotion))])
    assert readings.count("neutral") >= 7, readings


@pytest.mark.parametrize("detector", ["haar", "yunet"])
def test_a_smile_that_comes_raises_happiness(detector: str):
    faces = faces_of("pyfeat_single_face.mp4", detector)
    first, last = (face.emotion for face in (faces[0], faces[-1]))
    assert first is not None
    assert last is not None
    assert last[HAPPY] > 0.8
    assert last[HAPPY] > first[HAPPY] + 0.3


def test_a_smiling_portrait_reads_happy(portrait: Picture):
    face = pool(seen(Config(detector="haar").build("cpu"), still(portrait, 1.0)))
    assert face is not None
    assert face.emotion is not None
    assert face.emotion[HAPPY] > 0.8
    assert face.quality > 0.8


def test_a_sample_holds_what_its_type_promises(portrait: Picture):
    face = seen(Config(detector="haar").build("cpu"), still(portrait, 1.0))[0]
    assert face.embedding.shape == (64,)
    assert face.embedding.dtype == np.float32
    assert face.emotion is not None
    assert sum(face.emotion) == pytest.approx(1, abs=1e-5)
    assert 0 <= face.quality <= 1
    left, top, width, height = face.box
    assert 0 <= left < left + width <= 512
    assert 0 <= top < top + height <= 512


def test_every_picture_is_answered_by_progress_and_the_end_by_endless_progress(portrait: Picture):
    frames = still(portrait, 0.5)
    out = run_inline(Config(detector="haar").build("cpu"), frames)
    progress = [item for item in out if isinstance(item, Progress)]
    assert progress == [Progress("video", f.time) for f in frames] + [Progress("video", math.inf)]


def test_faces_come_before_the_progress_of_their_picture(portrait: Picture):
    out = run_inline(Config(detector="haar").build("cpu"), still(portrait, 1.0))
    done = -math.inf
    for item in out:
        if isinstance(item, Progress):
            done = item.time
        else:
            assert item.time > done


@pytest.mark.parametrize("fps", [2.0, 8.0])
def test_no_more_pictures_are_analysed_than_asked_for(portrait: Picture, fps: float):
    faces = seen(Config(detector="haar", fps=fps).build("cpu"), still(portrait, 4.0))
    assert len(faces) == 4 * fps - 2  # the first two make the third believed
    assert len({math.floor(face.time * fps + 1e-6) for face in faces}) == len(faces)


def test_the_same_pictures_give_the_same_faces(portrait: Picture):
    frames = still(portrait, 1.0)
    once, again = (seen(Config(detector="haar").build("cpu"), frames) for _ in range(2))
    assert [(f.time, f.box, f.quality, f.emotion) for f in once] == [
        (f.time, f.box, f.quality, f.emotion) for f in again
    ]
    assert all((a.embedding == b.embedding).all() for a, b in zip(once, again, strict=True))


def test_a_late_start_and_a_jump_back_in_time_are_no_trouble(portrait: Picture):
    stage = Config(detector="haar").build("cpu")
    later = [VideoFrame(portrait, 100 + i / 8) for i in range(6)]
    earlier = [VideoFrame(portrait, 3 + i / 8) for i in range(6)]
    assert len(seen(stage, [*later, *earlier])) == 8


def test_only_the_largest_faces_are_kept(portrait: Picture):
    small = np.full((360, 640, 3), 100, np.uint8)
    small[20:250, 20:250] = portrait[:230, 110:340]
    small[60:290, 330:560] = portrait[:230, 110:340]
    both = seen(Config(detector="haar").build("cpu"), still(small, 1.0))
    one = seen(Config(detector="haar", max_faces=1).build("cpu"), still(small, 1.0))
    assert {face.track for face in both} == {0, 1}
    assert {face.track for face in one} == {0}


def test_a_picture_gone_black_ends_the_faces_and_nothing_breaks(portrait: Picture):
    dark = [VideoFrame(np.zeros_like(portrait), 1 + i / 8) for i in range(8)]
    faces = seen(Config(detector="haar").build("cpu"), [*still(portrait, 1.0), *dark])
    assert faces
    assert max(face.time for face in faces) < 1.0


def test_auto_takes_yunet_where_its_file_is_and_haar_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LMAM_WEIGHTS", str(tmp_path))
    assert isinstance(Config()._detector(), Haar)
    source = shared_data("weights", "yunet", "face_detection_yunet_2026may.onnx")
    shutil.copy(source, tmp_path / "yunet.onnx")
    assert isinstance(Config()._detector(), YuNet)
    assert isinstance(Config(detector="haar")._detector(), Haar)


def test_a_named_yunet_file_that_is_missing_is_an_error_not_a_fallback(tmp_path: Path):
    with pytest.raises(EncodeError, match=r"nowhere\.onnx"):
        Config(yunet_path=tmp_path / "nowhere.onnx").build("cpu")


def test_missing_weights_are_named(tmp_path: Path):
    with pytest.raises(EncodeError, match=r"gone\.safetensors"):
        Config(weights=tmp_path / "gone.safetensors").build("cpu")


def test_truncated_weights_are_named(tmp_path: Path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(DEFAULT.read_bytes()[:-1000])
    with pytest.raises(EncodeError, match=r"cut\.safetensors: truncated"):
        Config(weights=cut).build("cpu")


@pytest.mark.parametrize("bad", [{"fps": 0}, {"max_faces": 0}, {"detector": "mtcnn"}, {"frames": 8}])
def test_bad_options_are_refused(bad: dict[str, object]):
    with pytest.raises(ValidationError):
        Config.model_validate(bad)


def test_where_faces_are_not_read_pictures_only_say_how_far_they_have_come() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    assert run_inline(NoFaces(), [VideoFrame(picture, 0.5)]) == [Progress("video", 0.5), Progress("video")]


class Told:
    """A detector that is told where the one face is."""

    confirm = 1

    def __init__(self, face: Square) -> None:
        self.face = face

    def find(self, bgr: Picture, near: Sequence[Square] = ()) -> list[Square]:
        return [self.face]


def filmed(grey: Picture, scale: int, roll: float) -> tuple[Picture, Square]:
    """A picture of 640 x 480 with ``grey`` in it, ``scale`` times as large and turned by ``roll``."""
    side = len(grey) * scale
    large = cv2.resize(grey, (side, side), interpolation=cv2.INTER_NEAREST)
    bgr = np.full((480, 640, 3), 90, np.uint8)
    bgr[100 : 100 + side, 200 : 200 + side] = large[:, :, None]
    centre = 200 + side / 2, 100 + side / 2
    turn = cv2.getRotationMatrix2D(centre, -math.degrees(roll), 1.0)
    return cv2.warpAffine(bgr, turn, (640, 480)), Square(*centre, side, 1.0, roll)


def test_live_reads_of_a_face_what_training_reads_of_it():
    """FER+ faces as the fusion's training embeds them, and the same faces in a camera's picture."""
    images, _ = crops(shared_data(), "test")
    net = FaceNet.load()
    trained = net.embed(images[:12])[0].numpy()
    for grey, expected in zip(images[:12].numpy(), trained, strict=True):
        for scale in (1, 2, 4):
            bgr, face = filmed(grey, scale, 0.0)
            (sample, *_) = seen(FaceEncoder(Config(), net, Told(face)), still(bgr, 0.1))
            np.testing.assert_allclose(sample.embedding, expected, atol=1e-4)
        bgr, face = filmed(grey, 4, math.radians(20))
        (sample, *_) = seen(FaceEncoder(Config(), net, Told(face)), still(bgr, 0.1))
        assert np.corrcoef(sample.embedding, expected)[0, 1] > 0.9
