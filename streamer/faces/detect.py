"""Two face detectors with one answer: squares framed as the training faces were.

How a detector's box lies in such a frame was measured by running it on 700 faces of the FER+ valid split
(medians): a Haar box is 0.96 frames wide; a YuNet box 0.78 wide and 1.05 high; both are centred within 0.01.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from streamer.errors import EncodeError

from ..types import Picture
from .square import Square

_CASCADES = Path(cv2.__file__).parent / "data"
_HAAR_FRAME = 1 / 0.96
# How far the tip of the nose lies from the middle between the eyes, in distances of the eyes as they are
# seen: about 0.55 times the tangent of the angle by which a head turns, as the tip lies about 0.55 before the
# eyes. Up to 24 degrees cost nothing (all of `talking_faces`), from 59 on nothing is read.
_FRONTAL, _PROFILE = 0.25, 0.9
_YUNET_FRAME = 1 / math.sqrt(0.776 * 1.05)  # of the mean of width and height


class Detector(Protocol):
    """``confirm``: in how many analysed pictures running a face must be found before it is believed."""

    confirm: int

    def find(self, bgr: Picture, near: Sequence[Square] = ()) -> list[Square]:
        """The faces of ``bgr`` ``[H, W, 3]``, largest first.

        With ``near``, a detector may save time by looking only where these were.
        """
        ...


class Haar:
    """The frontal cascade inside OpenCV (Viola and Jones 2001; Lienhart 2003): upright, frontal faces.

    Searches the picture at ``width`` pixels on its longer side.  ``min_size`` is in pixels of the original.
    """

    confirm = 3

    def __init__(self, min_size: int, width: int = 320) -> None:
        cv2.setNumThreads(1)
        path = _CASCADES / "haarcascade_frontalface_alt2.xml"
        if not path.is_file():
            raise EncodeError(f"{path}: OpenCV lacks its face cascade; install opencv-python-headless<5")
        self._cascade = cv2.CascadeClassifier(str(path))
        self._min_size, self._width = min_size, width

    def find(self, bgr: Picture, near: Sequence[Square] = ()) -> list[Square]:
        """As `Detector.find`; around ``near`` it takes a fifth of the time of a whole picture."""
        small, zoom = shrink(bgr, self._width)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
        least = self._min_size / _HAAR_FRAME
        found = [f for face in near for f in self._around(grey, zoom, face, least)]
        if not near:
            found = self._search(grey, zoom, (least, math.inf))
        return _distinct(sorted(found, key=_by_size))

    def _around(self, grey: Picture, zoom: float, face: Square, least: float) -> list[Square]:
        """Faces of about the size of ``face`` within its frame's reach (half a frame on every side)."""
        reach = face.side
        left, top = (max(0, int((at - reach) * zoom)) for at in (face.x, face.y))
        right, bottom = (max(0, math.ceil((at + reach) * zoom)) for at in (face.x, face.y))
        part = grey[top:bottom, left:right]
        if min(part.shape) < 20:
            return []
        side = face.side / _HAAR_FRAME
        found = self._search(part, zoom, (max(least, side * 0.7), side * 1.4))
        return [replace(f, x=f.x + left / zoom, y=f.y + top / zoom) for f in found]

    def _search(self, grey: Picture, zoom: float, sides: tuple[float, float]) -> list[Square]:
        least = max(20, round(sides[0] * zoom))
        most = round(min(sides[1] * zoom, max(grey.shape)))
        boxes, votes = self._cascade.detectMultiScale2(
            grey, 1.2, 4, minSize=(least, least), maxSize=(most, most)
        )
        frame = _HAAR_FRAME / zoom
        return [
            Square((x + w / 2) / zoom, (y + h / 2) / zoom, math.sqrt(w * h) * frame, _haar_score(int(n)))
            for (x, y, w, h), n in zip(boxes, votes, strict=True)
        ]


def _haar_score(votes: int) -> float:
    """From the overlapping hits that were merged into one: 4 (the least) give 0.5, 16 give 0.94."""
    return 1 - math.exp(-votes * math.log(2) / 4)


def _distinct(faces: list[Square]) -> list[Square]:
    """Drops what overlaps a larger face by more than a third: one face found from two sides."""
    kept: list[Square] = []
    for face in faces:
        if all(face.overlap(other) <= 1 / 3 for other in kept):
            kept.append(face)
    return kept


class YuNet:
    """YuNet (Wu, Peng and Yu 2023) through OpenCV, from its ONNX file; copes with turned and tilted heads.

    Raises:
        EncodeError: the file is missing, damaged or another network.
    """

    confirm = 2

    def __init__(self, path: Path, min_size: int, width: int = 320, threshold: float = 0.8) -> None:
        cv2.setNumThreads(1)
        if not path.is_file():
            raise EncodeError(f"{path}: no such face detector; 'lmam models pull yunet' fetches it")
        try:
            self._net: Any = cv2.FaceDetectorYN.create(str(path), "", (width, width), threshold)
            self._net.detect(np.zeros((width, width, 3), np.uint8))
        except cv2.error as error:
            what = str(error).strip().splitlines()[-1]
            raise EncodeError(f"{path}: not a usable YuNet file ({what}); fetch it again") from error
        self._min_size, self._width = min_size, width

    def find(self, bgr: Picture, near: Sequence[Square] = ()) -> list[Square]:
        """As `Detector.find`; always searches everywhere."""
        small, zoom = shrink(bgr, self._width)
        self._net.setInputSize((small.shape[1], small.shape[0]))
        _, rows = self._net.detect(small)
        found = []
        for row in [] if rows is None else rows.tolist():
            x, y, w, h = (value / zoom for value in row[:4])
            side = math.sqrt(max(w * h, 0.0)) * _YUNET_FRAME
            if side >= self._min_size:
                score, pose = min(1.0, max(0.0, row[-1])), _pose(*row[4:10])
                found.append(Square(x + w / 2, y + h / 2, side, score, *pose))
        return sorted(found, key=_by_size)


def _pose(
    left_x: float, left_y: float, right_x: float, right_y: float, nose_x: float, nose_y: float
) -> tuple[float, float]:
    """`Square.roll` and `Square.frontal` of two eyes (as they lie in the picture) and the tip of the nose.

    Of a head that turns away, the nose leaves the middle between the eyes. YuNet's landmarks tell a third to
    a half of a tilt (smaller versions of the network less); its sign is right.
    """
    across_x, across_y = right_x - left_x, right_y - left_y
    width = max(math.hypot(across_x, across_y), 1e-6)
    along = (nose_x - (left_x + right_x) / 2) * across_x + (nose_y - (left_y + right_y) / 2) * across_y
    aside = abs(along) / width**2
    return math.atan2(across_y, across_x), min(1.0, max(0.0, (_PROFILE - aside) / (_PROFILE - _FRONTAL)))


def shrink(picture: Picture, longest: int) -> tuple[Picture, float]:
    """``picture`` with its longer side at most ``longest`` pixels, and the factor that was applied."""
    zoom = min(1.0, longest / max(picture.shape[:2]))
    if zoom == 1.0:
        return picture, 1.0
    size = (max(1, round(picture.shape[1] * zoom)), max(1, round(picture.shape[0] * zoom)))
    small: Picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return small, zoom


def _by_size(face: Square) -> tuple[float, float, float]:
    return -face.side, face.x, face.y
