"""Cutting a face out of a picture, and how far the cut can be trusted."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ..types import Picture
from .square import Square

_FULL_SIDE = 64.0  # pixels: from here on the 48x48 crop loses nothing
# Variance of the Laplacian over that of the crop.  Measured: FER+ faces 0.30 (5th percentile) to 1.6, sharp
# video 0.4 to 0.8, horizontal motion of a sixth of the face 0.1, out of focus 0.02 to 0.04.
_SMEARED, _SHARP = 0.01, 0.3
_FLAT = 16.0  # variance in grey levels: below it, edges are noise
_LEVEL = math.radians(2)  # a roll up to which a face is cut as it is
_DARK, _DIM, _BRIGHT, _BURNT = 15.0, 60.0, 200.0, 245.0  # grey levels


def crop(bgr: Picture, face: Square, size: int) -> Picture:
    """The frame of ``face``, eyes level, grey uint8 ``[size, size]``; what lies outside repeats the edge."""
    return _crop(bgr, face, size, cv2.COLOR_BGR2GRAY)


def colour_crop(bgr: Picture, face: Square, size: int) -> Picture:
    """The same in colour, uint8 ``[size, size, 3]``, red first."""
    return _crop(bgr, face, size, cv2.COLOR_BGR2RGB)


def _crop(bgr: Picture, face: Square, size: int, conversion: int) -> Picture:
    x, y, side, _ = face.box
    height, width = bgr.shape[:2]
    left, top, right, bottom = max(0, x), max(0, y), min(width, x + side), min(height, y + side)
    if left >= right or top >= bottom:
        return np.zeros((size, size) if conversion == cv2.COLOR_BGR2GRAY else (size, size, 3), np.uint8)
    if abs(face.roll) > _LEVEL:
        cut = cv2.cvtColor(_level(bgr, face, side), conversion)
    else:
        cut = cv2.cvtColor(bgr[top:bottom, left:right], conversion)
        edges = (top - y, y + side - bottom, left - x, x + side - right)
        if any(edges):
            cut = cv2.copyMakeBorder(cut, *edges, cv2.BORDER_REPLICATE)
    how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    out: Picture = cv2.resize(cut, (size, size), interpolation=how)  # type: ignore[assignment]
    return out


def _level(bgr: Picture, face: Square, side: int) -> Picture:
    """The frame of ``face``, ``[side, side, 3]``, turned about its centre until the eyes are level."""
    turn = cv2.getRotationMatrix2D((face.x, face.y), math.degrees(face.roll), 1.0)
    turn[0, 2] += side / 2 - face.x
    turn[1, 2] += side / 2 - face.y
    out: Picture = cv2.warpAffine(bgr, turn, (side, side), borderMode=cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    return out


def quality(grey: Picture, face: Square) -> float:
    """Trust in 0..1: the geometric mean of size, sharpness, light and detection score, times the pose, each
    in 0..1.

    * size: side of the frame over 64 pixels;
    * sharpness: logarithm of the variance of the Laplacian over that of the crop, 0 at 0.01 and 1 at 0.3;
    * light: 1 for a mean grey level of 60..200, falling to 0 at 15 and 245;
    * score: the detector's;
    * pose: `Square.frontal`.
    """
    parts = (min(1.0, face.side / _FULL_SIDE), sharpness(grey), light(grey), face.score)
    return float(np.prod(np.clip(parts, 0.0, 1.0)) ** 0.25) * face.frontal


def sharpness(grey: Picture) -> float:
    """0 (flat or smeared) to 1; independent of contrast."""
    edges = float(cv2.Laplacian(grey, cv2.CV_32F).var()) / max(float(grey.var()), _FLAT)
    return float(np.clip(math.log(max(edges, 1e-9) / _SMEARED) / math.log(_SHARP / _SMEARED), 0, 1))


def light(grey: Picture) -> float:
    """1 for a well lit face, 0 for a black or burnt out one."""
    level = float(grey.mean())
    return float(np.clip(min((level - _DARK) / (_DIM - _DARK), (_BURNT - level) / (_BURNT - _BRIGHT)), 0, 1))
