"""Make the bundled sample: ``streamer/sample/sample.mp4`` and its transcript ``sample.vtt``.

A scripted dialogue of two speakers whose mood turns. The speech is synthesised by espeak-ng, the words are
our own, and the picture is the public-domain NASA portrait that scikit-image carries, shown only while the
script is glad: a picture that always smiles would contradict the rest. The same espeak-ng version gives the
same sample.

Needs espeak-ng and the packages of the ``dev`` extra: ``make sample``.
"""

from __future__ import annotations

import argparse
import io
import math
import subprocess
import sys
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

FOLDER = Path(__file__).resolve().parent.parent / "streamer" / "sample"
RATE = 16_000  # Hz, of the sound track
FPS = 10
WIDTH, HEIGHT = 320, 240  # pixels
BEFORE, PAUSE, AFTER = 0.8, 0.95, 2.6  # seconds of silence: at the start, between utterances, at the end
BREATH = 0.12  # seconds: longest pause left inside an utterance, well below any end-of-speech rule
FADE = 0.25  # seconds the portrait shows before and after a glad stretch

Sound = NDArray[np.float32]
Picture = NDArray[np.uint8]


class Line(NamedTuple):
    """One utterance of the script; ``mood`` is one of the seven MELD labels."""

    speaker: str
    mood: str
    text: str


class Delivery(NamedTuple):
    """How a mood is spoken: words a minute, pitch steps to add, amplitude (espeak-ng's own scales)."""

    speed: int
    pitch: int
    amplitude: int


@dataclass(frozen=True)
class Cue:
    """When a line is heard, in seconds."""

    start: float
    end: float
    line: Line


VOICES = {"A": ("en-us+f2", 48), "B": ("en-us+m1", 44)}  # voice and base pitch (0 to 99)
MOODS = {
    "neutral": Delivery(160, 0, 90),
    "surprise": Delivery(175, 22, 110),
    "joy": Delivery(170, 16, 105),
    "sadness": Delivery(132, -12, 70),
    "anger": Delivery(182, 8, 130),
}
SCRIPT = (
    Line("A", "neutral", "Good morning. Is there any mail today?"),
    Line("B", "neutral", "Yes, it is on the table next to the lamp."),
    Line("A", "surprise", "Oh my God! A letter from the music school!"),
    Line("B", "surprise", "What? Already? Are you serious?"),
    Line("A", "joy", "They want me! I am so happy!"),
    Line("B", "joy", "That is wonderful! Congratulations! I am so proud of you!"),
    Line("A", "joy", "Thank you! This is the best day of my life!"),
    Line("B", "sadness", "Listen, I have bad news. My grandmother died last night."),
    Line("A", "sadness", "Oh no. I am so sorry. She was such a sweet woman."),
    Line("B", "sadness", "I miss her so much. I just feel so alone."),
    Line("B", "anger", "And my boss will not give me a day off! That stupid idiot!"),
    Line("A", "anger", "He can not do that! That is so unfair! What a jerk!"),
    Line("A", "neutral", "Okay. Get your coat. I will drive you there."),
    Line("B", "joy", "Really? Thank you so much! You are the best!"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write into")
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    try:
        sound, cues = speak(SCRIPT)
    except FileNotFoundError:
        sys.exit("espeak-ng is not installed: apt-get install espeak-ng")
    (folder / "sample.vtt").write_text(transcript(cues), encoding="utf-8")
    encode(folder / "sample.mp4", sound, pictures(cues, len(sound) / RATE))
    size = (folder / "sample.mp4").stat().st_size
    sys.stdout.write(f"{folder}: {len(cues)} utterances, {len(sound) / RATE:.1f} s, {size / 1000:.0f} kB\n")


def speak(script: Sequence[Line]) -> tuple[Sound, list[Cue]]:
    """The sound track (mono float32 at `RATE`) and when each line of it is heard."""
    position, parts, cues = round(BEFORE * RATE), [], []
    for line in script:
        voice = utter(line)
        parts.append((position, voice))
        cues.append(Cue(position / RATE, (position + len(voice)) / RATE, line))
        position += len(voice) + round(PAUSE * RATE)
    total = parts[-1][0] + len(parts[-1][1]) + round(AFTER * RATE)
    total -= total % (RATE // FPS)  # whole pictures
    sound = np.random.default_rng(0).normal(0, 3e-4, total)  # a quiet room, not digital silence
    for start, voice in parts:
        sound[start : start + len(voice)] += voice
    return sound.astype(np.float32), cues


def utter(line: Line) -> Sound:
    """``line`` spoken in its mood: silence around it cut off, pauses inside it shortened to `BREATH`."""
    voice, pitch = VOICES[line.speaker]
    mood = MOODS[line.mood]
    command = ["espeak-ng", "-v", voice, "-p", str(pitch + mood.pitch), "-s", str(mood.speed)]
    command += ["-a", str(mood.amplitude), "--stdout", line.text]
    spoken = subprocess.run(command, check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(spoken)) as file:
        rate, data = file.getframerate(), file.readframes(1 << 30)
    sound = np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float64) / 32768
    ratio = Fraction(RATE, rate)
    sound = resample_poly(sound, ratio.numerator, ratio.denominator)
    return shorten(np.clip(0.7 * sound, -1, 1).astype(np.float32))


def shorten(sound: Sound, floor: float = 0.004) -> Sound:
    """``sound`` without silent ends, every inner run below ``floor`` cut to at most `BREATH` seconds."""
    loud = np.flatnonzero(np.abs(sound) > floor)
    most, parts, begin = round(BREATH * RATE), [], loud[0]
    for left, right in pairwise(loud):
        if right - left > most:
            parts.append(sound[begin : left + most // 2])
            begin = right - most // 2
    parts.append(sound[begin : loud[-1] + 1])
    return np.concatenate(parts)


def transcript(cues: Sequence[Cue]) -> str:
    """WebVTT with one cue an utterance and its speaker as a voice tag."""
    blocks = [
        f"{i}\n{_stamp(c.start)} --> {_stamp(c.end)}\n<v {c.line.speaker}>{c.line.text}\n"
        for i, c in enumerate(cues, 1)
    ]
    return "WEBVTT\n\n" + "\n".join(blocks)


def _stamp(seconds: float) -> str:
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"00:{minutes:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def pictures(cues: Sequence[Cue], seconds: float) -> Iterator[Picture]:
    """The picture track, RGB ``[HEIGHT, WIDTH, 3]``: the portrait while the script is glad, else a card."""
    from skimage.data import astronaut

    portrait: Picture = astronaut()  # type: ignore[no-untyped-call]
    stretches = glad(cues, seconds)
    for i in range(math.floor(seconds * FPS)):
        time = i / FPS
        if any(start <= time < end for start, end in stretches):
            yield photograph(portrait, time)
        else:
            yield card(next((c.line.speaker for c in cues if c.start <= time < c.end), None))


def glad(cues: Sequence[Cue], seconds: float) -> list[tuple[float, float]]:
    """Stretches of time in which only glad lines are spoken; the last one lasts to the end."""
    found: list[tuple[float, float]] = []
    before = None
    for cue in cues:
        if cue.line.mood == "joy":
            start = found.pop()[0] if before == "joy" else cue.start - FADE
            found.append((start, seconds if cue is cues[-1] else cue.end + FADE))
        before = cue.line.mood
    return found


def photograph(portrait: Picture, time: float) -> Picture:
    """Head and shoulders of ``portrait`` through a camera held by hand: it sways and breathes a little."""
    zoom = 0.98 + 0.04 * math.sin(0.9 * time)
    centre_x = 224 + 5 * math.sin(1.7 * time)
    centre_y = 128 + 3 * math.sin(2.3 * time)
    matrix = np.array([[zoom, 0, WIDTH / 2 - zoom * centre_x], [0, zoom, HEIGHT / 2 - zoom * centre_y]])
    return np.asarray(
        cv2.warpAffine(portrait, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def card(speaker: str | None) -> Picture:
    """A plain card: a bar for each speaker, bright while that one talks (two discs would look like eyes)."""
    dark, dim = (28, 32, 44), (64, 70, 88)
    picture = np.full((HEIGHT, WIDTH, 3), dark, np.uint8)
    for name, top, bright in (("A", 66, (240, 180, 80)), ("B", 130, (90, 180, 240))):
        cv2.rectangle(picture, (60, top), (260, top + 44), bright if name == speaker else dim, -1)
        cv2.putText(picture, name, (72, top + 33), cv2.FONT_HERSHEY_SIMPLEX, 1.0, dark, 2, cv2.LINE_AA)
    return picture


def encode(path: Path, sound: Sound, frames: Iterator[Picture]) -> None:
    """Write ``path``: H.264 at `FPS` and AAC at `RATE`, single-threaded so that it can be repeated."""
    with av.open(str(path), "w", options={"movflags": "+faststart", "fflags": "+bitexact"}) as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.options = {"crf": "27", "preset": "slow", "tune": "stillimage"}
        video.thread_count = 1
        audio = container.add_stream("aac", rate=RATE)
        audio.layout, audio.bit_rate = "mono", 48_000
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = i
            container.mux(video.encode(frame))
            container.mux(audio.encode(_heard(sound, i * RATE // FPS, (i + 1) * RATE // FPS)))
        for stream in (video, audio):
            container.mux(stream.encode(None))


def _heard(sound: Sound, start: int, end: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(sound[None, start:end], format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
    return frame


if __name__ == "__main__":
    main()
