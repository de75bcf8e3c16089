"""Pictures in, faces out: detect, follow, cut, embed.

``kind = "face"``.  The detector is YuNet where its ONNX file is present, else the Haar cascade inside OpenCV.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from pydantic import BaseModel, Field

from streamer.errors import EncodeError

from ..faces.track import Tracker
from ..types import FaceSample, Floats, Picture, Progress, VideoFrame

if TYPE_CHECKING:
    from models.encoders.face import FaceNet

    from ..faces.detect import Detector
    from ..faces.square import Square

TRACK = "video"


class Config(BaseModel, frozen=True, extra="forbid"):
    """``fps``: analyse at most one picture per ``1/fps`` seconds of stream time; ``min_size`` in pixels."""

    detector: Literal["auto", "yunet", "haar"] = Field(
        "auto", description="what finds faces; auto: yunet where its file is on this disk, else haar"
    )
    yunet_path: Path | None = Field(None, description="YuNet's file (ONNX); default: where it was pulled to")
    weights: Path | None = Field(None, description="weights of the face network; default: those that ship")
    fps: float = Field(8.0, gt=0, le=120, description="pictures a second that are searched at most")
    max_faces: int = Field(4, ge=1, le=64, description="faces in one picture that are read at most")
    min_size: int = Field(48, ge=16, description="pixels; smaller faces are left out")

    def build(self, device: str = "cpu", colour: Colour | None = None) -> FaceEncoder:
        """The stage, its networks loaded on ``device``; ``colour`` embeds faces in the network's place.

        Raises:
            EncodeError: OpenCV, the detector or the weights are missing or damaged.
        """
        from models.checkpoint import CheckpointError
        from models.encoders.face import FaceNet

        try:
            net = FaceNet.load(self.weights, device)
        except CheckpointError as error:
            raise EncodeError(str(error)) from error
        return FaceEncoder(self, net, self._detector(), colour)

    def _detector(self) -> Detector:
        from ..faces.detect import Haar, YuNet
        from ..weights import find, folder

        path = self.yunet_path or find("yunet")
        if self.detector == "haar" or (self.detector == "auto" and path is None):
            return Haar(self.min_size)
        return YuNet(path or folder() / "yunet.onnx", self.min_size)


class Colour(Protocol):
    """Embeds faces uint8 ``[n, size, size, 3]``, red first, such as `models.encoders.hub.face.HubFace`."""

    @property
    def size(self) -> int: ...
    def encode(self, rgb_nHWC: Picture) -> Floats: ...


class FaceEncoder:
    """Yields the believed faces of every analysed picture, then how far the pictures have been seen.

    Decides by event time only: the same pictures give the same faces at any speed.
    """

    def __init__(
        self, config: Config, net: FaceNet, detector: Detector, colour: Colour | None = None
    ) -> None:
        self._config, self._net, self._detector, self._colour = config, net, detector, colour
        self._tracker = Tracker(detector.confirm)
        self._slot, self._second = -1, -1

    def push(self, frame: VideoFrame) -> Iterator[FaceSample | Progress]:
        slot = int(frame.time * self._config.fps + 1e-6)
        if slot != self._slot:
            self._slot = slot
            yield from self._analyse(frame)
        yield Progress(TRACK, frame.time)

    def flush(self) -> Iterator[FaceSample | Progress]:
        yield Progress(TRACK)

    def _find(self, frame: VideoFrame) -> list[Square]:
        """Looks everywhere once a second and whenever a face that was there is not found near its place."""
        near = self._tracker.expected(frame.time)
        second = int(frame.time // 1)
        if near and second == self._second:
            found = self._detector.find(frame.bgr, near)
            if len(found) >= len(near):
                return found
        self._second = second
        return self._detector.find(frame.bgr)

    def _analyse(self, frame: VideoFrame) -> Iterator[FaceSample]:
        from models.encoders.face import SIZE

        from ..faces.quality import colour_crop, crop, quality

        faces = self._tracker.update(frame.time, self._find(frame)[: self._config.max_faces])
        if not faces:
            return
        crops = np.stack([crop(frame.bgr, face, SIZE) for _, face in faces])
        embeddings, emotions = (t.cpu().numpy() for t in self._net.embed(crops))
        if self._colour is not None:
            size = self._colour.size
            embeddings = self._colour.encode(np.stack([colour_crop(frame.bgr, f, size) for _, f in faces]))
        for i, (number, face) in enumerate(faces):
            yield FaceSample(
                time=frame.time,
                track=number,
                box=_inside(face.box, frame.bgr.shape[1], frame.bgr.shape[0]),
                quality=quality(crops[i], face),
                embedding=embeddings[i],
                emotion=tuple(emotions[i].tolist()),
            )


class NoFaces:
    """Looks at no picture and only says how far they have come: for a fusion that reads no faces."""

    def push(self, frame: VideoFrame) -> Iterator[FaceSample | Progress]:
        yield Progress(TRACK, frame.time)

    def flush(self) -> Iterator[FaceSample | Progress]:
        yield Progress(TRACK)


def _inside(box: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """``box`` cut at the borders of a picture of ``width`` and ``height`` pixels."""
    left, top = max(0, min(box[0], width - 1)), max(0, min(box[1], height - 1))
    right, bottom = min(width, box[0] + box[2]), min(height, box[1] + box[3])
    return left, top, max(1, right - left), max(1, bottom - top)
