"""One clip through the whole graph: what it holds is read, and the next clip knows nothing of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamer.bench.clips import Clip, Graph
from streamer.errors import EncodeError
from streamer.types import RATE
from tests.data import ROOT

SAMPLE = ROOT / "streamer" / "sample"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph()


def spoken(words: str = "") -> Clip:
    """The bundled sample's first ten seconds."""
    import av

    media = next(p for p in sorted(SAMPLE.iterdir()) if p.suffix in (".mp4", ".mkv", ".webm", ".mov"))
    with av.open(str(media)) as container:
        resampler = av.AudioResampler("flt", "mono", RATE)
        parts = [part.to_ndarray()[0] for f in container.decode(audio=0) for part in resampler.resample(f)]
    return Clip(np.concatenate(parts)[: 10 * RATE].astype(np.float32), words=words)


def test_silence_is_nobody(graph: Graph) -> None:
    assert graph.read(Clip(np.zeros(3 * RATE, np.float32))) == []


def test_words_are_those_of_the_clip_and_nothing_is_remembered(graph: Graph) -> None:
    """The same clip twice gives the same; with words, those count beside the voice."""
    alone, again = (graph.read(spoken()) for _ in range(2))
    assert alone
    assert [e.emotion for e in alone] == [e.emotion for e in again]
    assert not any(e.modalities.text.present for e in alone)
    told = graph.read(spoken("I am so happy to see you!"))
    assert all(e.modalities.text.present for e in told)
    assert told[0].emotion.probabilities != alone[0].emotion.probabilities


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match=r"text\.safetensors"):
        Graph(tmp_path)
