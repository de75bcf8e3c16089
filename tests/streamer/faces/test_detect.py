import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.encoders.face import SIZE, FaceNet
from streamer.errors import EncodeError
from streamer.faces.detect import Detector, Haar, YuNet, _pose, shrink
from streamer.faces.quality import crop
from streamer.types import Picture
from tests.data import shared_data

FACELESS = ("coffee", "chelsea", "rocket", "brick", "coins", "page", "text", "horse")


@pytest.fixture(params=["haar", "yunet"])
def detector(request: pytest.FixtureRequest) -> Detector:
    if request.param == "haar":
        return Haar(48)
    return YuNet(shared_data("weights", "yunet", "face_detection_yunet_2026may.onnx"), 48)


@pytest.fixture
def portrait() -> Picture:
    return np.ascontiguousarray(pytest.importorskip("skimage.data").astronaut()[:, :, ::-1])


def test_one_face_is_found_and_framed_from_brows_to_chin(detector: Detector, portrait: Picture):
    (face,) = detector.find(portrait)
    assert abs(face.x - 225) < 12
    assert abs(face.y - 117) < 12
    assert 90 < face.side < 125
    assert 0.5 < face.score <= 1


def test_the_frame_follows_the_size_of_the_picture(detector: Detector, portrait: Picture):
    large = cv2.resize(portrait, None, fx=2.5, fy=2.5)
    (face,), (near,) = detector.find(portrait), detector.find(large)
    assert near.side / face.side == pytest.approx(2.5, rel=0.1)
    assert near.x / face.x == pytest.approx(2.5, rel=0.05)


@pytest.mark.parametrize("name", FACELESS)
def test_pictures_without_a_face_have_none(detector: Detector, name: str):
    picture = getattr(pytest.importorskip("skimage.data"), name)()
    bgr = picture[:, :, :3] if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, 2)
    assert detector.find(np.ascontiguousarray(bgr, np.uint8)) == []


def test_noise_has_no_face(detector: Detector):
    assert detector.find(np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)) == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (8, 200, 3), (200, 8, 3), (30, 30, 3)])
def test_pictures_too_small_for_a_face_have_none(detector: Detector, shape: tuple[int, int, int]):
    assert detector.find(np.full(shape, 127, np.uint8)) == []


def test_faces_below_the_least_size_are_left_out(detector: Detector, portrait: Picture):
    assert detector.find(cv2.resize(portrait, None, fx=0.25, fy=0.25)) == []


def test_two_faces_come_largest_first(detector: Detector, portrait: Picture):
    face = portrait[:230, 110:340]
    wide = np.full((360, 640, 3), 100, np.uint8)
    wide[20:250, 20:250] = face
    wide[20:320, 300:600] = cv2.resize(face, (300, 300))
    first, second = detector.find(wide)
    assert first.x > 300 > second.x
    assert first.side > second.side


def test_looking_near_a_known_face_finds_the_same_one(detector: Detector, portrait: Picture):
    (face,) = detector.find(portrait)
    moved = np.roll(portrait, (10, 15), (0, 1))
    (again,) = detector.find(moved, [face])
    assert abs(again.x - face.x - 15) < 8
    assert abs(again.y - face.y - 10) < 8


@pytest.mark.parametrize("degrees", [-35.0, -20.0, 20.0, 35.0])
def test_yunet_tells_to_which_side_a_head_is_tilted_and_the_network_is_helped(
    portrait: Picture, degrees: float
):
    """Its landmarks tell a third of a tilt or more; what the network says of the level crop is nearer to what
    it says of the upright picture."""
    yunet = YuNet(shared_data("weights", "yunet", "yunet_n_320_320.onnx"), 48)
    (upright,) = yunet.find(portrait)
    turn = cv2.getRotationMatrix2D((upright.x, upright.y), -degrees, 1.0)  # clockwise
    tilted = cv2.warpAffine(portrait, turn, portrait.shape[1::-1]).astype(np.uint8)
    (face,) = yunet.find(tilted)
    assert 0.2 < math.degrees(face.roll - upright.roll) / degrees < 1.2
    assert face.frontal > 0.8
    crops = [
        crop(portrait, upright, SIZE),
        crop(tilted, face, SIZE),
        crop(tilted, replace(face, roll=0.0), SIZE),
    ]
    right, level, crooked = FaceNet.load().embed(np.stack(crops))[0]
    assert (level - right).norm() < (crooked - right).norm()


def test_a_nose_that_leaves_the_middle_is_a_head_that_turns():
    """Facing the camera, half turned, in profile; the size and the tilt of the face do not matter."""
    assert _pose(0, 0, 10, 0, 5, 6) == (0.0, 1.0)
    half, tilted = _pose(0, 0, 10, 0, 10.75, 6), _pose(0, 0, 0, 20, -12, 21.5)
    assert half[1] == pytest.approx(0.5)
    assert tilted == (pytest.approx(math.pi / 2), pytest.approx(0.5))
    assert _pose(0, 0, 4, 0, 8, 6)[1] == 0.0
    assert _pose(3, 3, 3, 3, 3, 3)[1] == 1.0


def test_haar_looks_nowhere_else_when_told_where(portrait: Picture):
    haar = Haar(48)
    (face,) = haar.find(portrait)
    blank = cv2.copyMakeBorder(portrait, 0, 0, 400, 0, cv2.BORDER_CONSTANT, value=(90, 90, 90))
    assert haar.find(blank, [face]) == []
    assert len(haar.find(blank)) == 1


def test_a_missing_yunet_file_is_named_with_the_remedy(tmp_path: Path):
    with pytest.raises(EncodeError, match=r"yunet\.onnx.*lmam models pull"):
        YuNet(tmp_path / "yunet.onnx", 48)


def test_a_truncated_yunet_file_is_named(tmp_path: Path):
    whole = shared_data("weights", "yunet", "face_detection_yunet_2026may.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EncodeError, match=r"cut\.onnx.*fetch it again"):
        YuNet(tmp_path / "cut.onnx", 48)


def test_a_file_that_is_no_network_is_named(tmp_path: Path):
    (tmp_path / "page.onnx").write_text("<html>not found</html>")
    with pytest.raises(EncodeError, match=r"page\.onnx"):
        YuNet(tmp_path / "page.onnx", 48)


def test_another_network_is_named():
    other = next(iter(sorted(shared_data("weights", "mini_xception").glob("*.onnx"))), None)
    if other is None:
        pytest.skip("needs an ONNX file in weights/mini_xception beside the checkout")
    with pytest.raises(EncodeError, match=other.name):
        YuNet(other, 48)


def test_shrink_keeps_small_pictures_and_says_the_factor():
    small, large = np.zeros((100, 200, 3), np.uint8), np.zeros((480, 640, 3), np.uint8)
    assert shrink(small, 320)[0] is small
    assert shrink(large, 320)[0].shape == (240, 320, 3)
    assert shrink(large, 320)[1] == 0.5
