"""Worse pictures of real faces, through the whole graph with the weights that ship.

A face that cannot be made out is absent or told as a bad one, and the estimate then rests on nothing: it
abstains or is unsure. What is published of a face is always valid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean

import av
import cv2
import numpy as np
import pytest

from streamer.bench.clips import Clip, Graph
from streamer.encoders.face import Config
from streamer.encoders.features import LEAST_FACE
from streamer.payloads import EstimateV1
from streamer.types import FaceSample, Picture, VideoFrame
from tests.data import shared_data

FPS, COUNT = 8.0, 20
PEOPLE = (
    "grid_bbaf2n.mpg",
    "grid_lrwp9a.mpg",
    "grid_pwij3p.mpg",
    "pyfeat_single_face.mp4",
    "pyfeat_WolfgangLanger_Pexels.mp4",
)
Change = Callable[[Picture], Picture]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph()


@pytest.fixture(scope="module")
def films() -> list[list[VideoFrame]]:
    return [pictures(name) for name in PEOPLE]


@pytest.fixture(scope="module")
def clean(graph: Graph, films: list[list[VideoFrame]]) -> list[EstimateV1]:
    found = read(graph, films)
    assert all(e.modalities.visual.present for e in found)
    return found


def pictures(name: str, count: int = COUNT) -> list[VideoFrame]:
    """``count`` pictures of a film, `FPS` a second."""
    found: list[VideoFrame] = []
    with av.open(str(shared_data("talking_faces", name))) as container:
        for frame in container.decode(video=0):
            if int((frame.time or 0.0) * FPS) >= len(found):
                found.append(VideoFrame(frame.to_ndarray(format="bgr24"), (len(found) + 0.5) / FPS))
            if len(found) == count:
                break
    return found


def changed(films: Sequence[list[VideoFrame]], change: Change) -> list[list[VideoFrame]]:
    return [[VideoFrame(np.ascontiguousarray(change(f.bgr)), f.time) for f in film] for film in films]


def read(graph: Graph, films: Sequence[list[VideoFrame]]) -> list[EstimateV1]:
    """Everything that is read of all films, each a conversation; all of it valid."""
    found = [e for film in films for e in graph.read(Clip(pictures=film))]
    for e in found:
        probabilities = e.emotion.probabilities.values()
        assert sum(probabilities) == pytest.approx(1.0, abs=1e-3)
        assert all(0 <= p <= 1 for p in probabilities)
        seen = e.modalities.visual
        assert 0 <= seen.quality <= 1
        assert 0 <= seen.weight <= 1
        assert seen.present == (seen.quality >= LEAST_FACE)
        assert seen.present or (e.emotion.abstained or e.emotion.confidence < 0.5)
        assert not e.modalities.audio.present
        assert not e.modalities.text.present
    return found


def confidence(found: Sequence[EstimateV1]) -> float:
    """The mean; 0 where nothing was read."""
    return mean([e.emotion.confidence for e in found] or [0.0])


def quality(found: Sequence[EstimateV1]) -> float:
    """The mean; 0 where nothing was read."""
    return mean([e.modalities.visual.quality for e in found] or [0.0])


def scaled(by: float, plus: float = 0.0) -> Change:
    return lambda bgr: np.clip(by * bgr.astype(np.float32) + plus, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("change", [scaled(0.15), scaled(0.04)], ids=["dark", "darker"])
def test_a_face_in_the_dark_is_absent_or_bad(
    graph: Graph, films: list[list[VideoFrame]], clean: list[EstimateV1], change: Change
) -> None:
    found = read(graph, changed(films, change))
    assert quality(found) < quality(clean) - 0.1
    assert confidence(found) < confidence(clean) + 0.05


@pytest.mark.parametrize("change", [scaled(3, 60), scaled(4, 150)], ids=["bright", "brighter"])
def test_an_over_exposed_face_is_absent_or_bad(
    graph: Graph, films: list[list[VideoFrame]], clean: list[EstimateV1], change: Change
) -> None:
    """Burnt out skin shows open eyes and a mouth, which look like surprise: not read at all."""
    found = read(graph, changed(films, change))
    assert quality(found) < quality(clean) - 0.3
    assert confidence(found) < confidence(clean) + 0.05


def test_a_blurred_face_is_told_as_worse(
    graph: Graph, films: list[list[VideoFrame]], clean: list[EstimateV1]
) -> None:
    found = read(graph, changed(films, lambda bgr: cv2.GaussianBlur(bgr, (0, 0), 6).astype(np.uint8)))
    assert quality(found) < quality(clean) - 0.05
    assert confidence(found) < confidence(clean) + 0.1


@pytest.mark.parametrize("narrow", [0.75, 0.5], ids=["turned", "turned far"])
def test_a_face_seen_from_the_side_is_read_no_surer(
    graph: Graph, films: list[list[VideoFrame]], clean: list[EstimateV1], narrow: float
) -> None:
    """As heads that turn away: their width shrinks, and one half more than the other."""

    def turn(bgr: Picture) -> Picture:
        height, width = bgr.shape[:2]
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        right, rim = narrow * width, 0.12 * (1 - narrow) * height
        to = np.array([[0, 0], [right, rim], [right, height - rim], [0, height]], np.float32)
        return cv2.warpPerspective(bgr, cv2.getPerspectiveTransform(corners, to), (width, height)).astype(
            np.uint8
        )

    found = read(graph, changed(films, turn))
    assert quality(found) < quality(clean) + 0.01
    assert confidence(found) < confidence(clean) + 0.1


def test_a_head_that_lies_down_is_not_found_rather_than_misread(
    graph: Graph, films: list[list[VideoFrame]], clean: list[EstimateV1]
) -> None:
    found = read(graph, changed(films, lambda bgr: np.rot90(bgr)))
    assert len(found) <= len(clean)
    assert confidence(found) < confidence(clean) + 0.1


def test_a_picture_without_a_face_has_none(graph: Graph) -> None:
    """A cartoon title is nobody."""
    assert not any(
        e.modalities.visual.present for e in graph.read(Clip(pictures=pictures("pyfeat_no_face.mp4", 30)))
    )


def test_nobody_is_read_after_they_have_left(graph: Graph) -> None:
    """A face for 2.4 s, then a title: no estimate rests on a face that ends a second after it was gone."""
    found = read(graph, [pictures("pyfeat_face_noface.mov", 48)])
    assert found
    assert max(e.end for e in found if e.modalities.visual.present) < 4.5


def test_several_faces_are_kept_apart_and_one_is_read(graph: Graph, films: list[list[VideoFrame]]) -> None:
    """Two people side by side: two numbers that stay, and an estimate no surer than of the surer one."""
    both = [
        VideoFrame(np.concatenate([a.bgr, b.bgr], 1), a.time) for a, b in zip(films[0], films[1], strict=True)
    ]
    stage = Config().build()
    samples = [item for frame in both for item in stage.push(frame) if isinstance(item, FaceSample)]
    middle = films[0][0].bgr.shape[1]
    sides: dict[int, set[bool]] = {}
    for sample in samples:
        sides.setdefault(sample.track, set()).add(sample.box[0] + sample.box[2] / 2 < middle)
    assert len(sides) == 2
    assert all(len(where) == 1 for where in sides.values())  # nobody's number wandered to the other
    found = read(graph, [both])
    assert found
    assert all(e.modalities.visual.present for e in found)
    alone = max(confidence(read(graph, [film])) for film in films[:2])
    assert confidence(found) < alone + 0.1
