"""What the voice encoder hears of every clip of a corpus, under several conditions, kept on disk.

A condition changes the sound before it is heard: nothing (``clean``); for the evaluation a recorded noise at
10 dB (``noisy``) or a telephone (``telephone``); for training rooms and noises as they come (``room 1``,
``room 2``) or narrow lines of all kinds (``line``). Noises for training and for evaluation are different
recordings. Then the sound is cut as the segmenter of the live graph cuts it, a little before the speech and a
little after; where those are is found in the clean recording.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, resample_poly, sosfiltfilt  # type: ignore[import-untyped]

from models.data.speech import RATE, Clip, clips, recording, sounds
from models.encoders import hearing, mel, periodicity, prosody, syllables
from models.encoders.hearing import Hearing
from models.encoders.syllables import speech
from models.encoders.voice_statistics import Heard
from models.whole import whole

Pcm = NDArray[np.float32]
Change = Callable[[Pcm, np.random.Generator], Pcm]

CONDITIONS = ("clean", "noisy", "room 1", "room 2", "line", "telephone")  # the place seeds what is drawn
ROOM = CONDITIONS[2:4]
TRAINING = CONDITIONS[2:5]
SNR_DB = 10.0  # of ``noisy``
BAND = 300.0, 3400.0  # Hz, of a telephone
BEFORE, AFTER = 0.25, 0.1  # s of background around the speech, as the segmenter keeps it
TRAINING_NOISES = ("noise1", "noise2", "noise3", "noise5")
EVALUATION_NOISES = ("noise4", "office_ambience")
ROOMS = ("rir1", "rir2", "rir3", "rir4")
SOURCES = (hearing, mel, periodicity, prosody, syllables)  # the code that hears
_SOUNDING = 0.02  # of the largest sample: what is louder counts as speech for the signal-to-noise ratio
_TAIL = 6_000  # samples of a room's response that are kept


def heard(data: Path, corpus: str, condition: str, cache: Path, tell: Callable[[str], None]) -> list[Heard]:
    """Every clip of ``data``/``corpus``, in the order of its manifest; from ``cache`` where it is there.

    Raises:
        DataError: the data are missing or damaged.
        ValueError: a clip in which no speech is heard.
    """
    wanted = clips(data / corpus)
    path = cache / f"{corpus}-{condition.replace(' ', '')}-{_digest(wanted)}.npz"
    if not path.exists():
        change, rng = changes(data, condition), np.random.default_rng(CONDITIONS.index(condition))
        found = []
        for clip, pcm in zip(wanted, sounds(data / corpus, wanted), strict=True):
            found.append(_hear(change(pcm, rng)[spoken(pcm)], clip))
            if len(found) % 100 == 0:
                tell(f"{corpus}, {condition}: {len(found)} of {len(wanted)} clips heard")
        _write(path, found)
    return _read(path)


def changes(data: Path, condition: str) -> Change:
    """What ``condition`` does to a sound."""
    if condition == "clean":
        return lambda pcm, rng: pcm
    if condition == "telephone":
        return lambda pcm, rng: telephone(pcm)
    if condition == "line":
        return line
    if condition == "noisy":
        noises = [recording(data / "noise" / f"{name}.flac") for name in EVALUATION_NOISES]
        return lambda pcm, rng: noisy(pcm, noises[rng.integers(len(noises))], SNR_DB, rng)
    noises = [recording(data / "noise" / f"{name}.flac") for name in TRAINING_NOISES]
    rooms = [recording(data / "noise" / f"{name}.flac") for name in ROOMS]

    def change(pcm: Pcm, rng: np.random.Generator) -> Pcm:
        if rng.random() < 0.6:
            pcm = reverberant(pcm, rooms[rng.integers(len(rooms))])
        noise = noises[rng.integers(len(noises))] if rng.random() < 0.5 else coloured(len(pcm), rng)
        return noisy(pcm, noise, rng.uniform(2.0, 22.0), rng)

    return change


def spoken(pcm: Pcm) -> slice:
    """The samples from `BEFORE` the speech to `AFTER` it; all of them where none is found."""
    frames = mel.LogMel()
    frames.push(pcm)
    level_db = 10 * np.log10(np.exp(frames.frames().astype(np.float64)).sum(1))
    span = speech(level_db, mel.times(len(level_db)), len(pcm) / RATE) if len(level_db) else None
    begin, end = span or (0.0, len(pcm) / RATE)
    return slice(max(0, round((begin - BEFORE) * RATE)), round((end + AFTER) * RATE))


def noisy(pcm: Pcm, noise: Pcm, snr_db: float, rng: np.random.Generator) -> Pcm:
    """``pcm`` with a stretch of ``noise``, ``snr_db`` below its sounding samples."""
    begin = int(rng.integers(max(1, len(noise) - len(pcm))))
    added = np.resize(noise[begin:], len(pcm))
    loud = pcm[np.abs(pcm) > _SOUNDING * np.abs(pcm).max()]
    share = np.mean(np.square(loud)) / max(1e-12, float(np.mean(np.square(added))))
    return np.asarray(pcm + np.sqrt(share) * 10 ** (-snr_db / 20) * added, dtype=np.float32)


def coloured(count: int, rng: np.random.Generator) -> Pcm:
    """``count`` samples of noise with a random slope of its spectrum, from white to steeper than red, whose
    level wavers slowly."""
    spectrum = np.fft.rfft(rng.normal(size=count))
    hz = np.maximum(50.0, np.fft.rfftfreq(count, 1 / RATE))
    noise = np.fft.irfft(spectrum * hz ** -rng.uniform(0.0, 1.2), count)
    at = np.arange(count) / RATE
    level = np.exp(rng.uniform(0.0, 1.0) * np.sin(2 * np.pi * rng.uniform(0.3, 3.0) * at + rng.uniform(0, 6)))
    return np.asarray(noise * level, dtype=np.float32)


def reverberant(pcm: Pcm, room: Pcm) -> Pcm:
    """``pcm`` as it sounds in a room of that impulse response, direct sound in place, same energy."""
    begin = max(0, int(np.abs(room).argmax()) - 16)
    tail = room[begin : begin + _TAIL]
    return np.asarray(fftconvolve(pcm, tail / np.linalg.norm(tail))[: len(pcm)], dtype=np.float32)


def telephone(pcm: Pcm, band: tuple[float, float] = BAND) -> Pcm:
    """``pcm`` as a telephone carries it: ``band`` in Hz, at 8 kHz, in the 256 steps of mu-law (G.711)."""
    filter_ = butter(6, band, "bandpass", fs=RATE, output="sos")
    narrow = np.clip(resample_poly(sosfiltfilt(filter_, pcm), 1, 2), -1, 1)
    steps = np.round(127 * np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)) / 127
    back = np.sign(steps) * np.expm1(np.abs(steps) * np.log(256)) / 255
    return np.asarray(resample_poly(back, 2, 1)[: len(pcm)], np.float32)


def line(pcm: Pcm, rng: np.random.Generator) -> Pcm:
    """`telephone` of any make: the edges of the band, the level and the noise before it are drawn."""
    loudest = max(1e-6, float(np.abs(pcm).max()))
    level = 10 ** (-rng.uniform(1.0, 20.0) / 20) / loudest
    noise = coloured(len(pcm), rng)
    before = noisy(level * pcm, noise, rng.uniform(10.0, 35.0), rng)
    return telephone(before, (rng.uniform(80.0, 400.0), rng.uniform(3000.0, 3900.0)))


def _hear(pcm: Pcm, clip: Clip) -> Heard:
    ear = Hearing()
    ear.push(pcm)
    found = ear.heard()
    if found is None:
        raise ValueError(f"{clip.path}: no speech is heard in it; take it out of the manifest")
    return found


def _digest(wanted: Sequence[Clip]) -> str:
    """Changes with the clips and with any line of the code that hears them."""
    code = [Path(m.__file__ or "").read_bytes() for m in SOURCES] + [Path(__file__).read_bytes()]
    return hashlib.sha256(repr(wanted).encode() + b"".join(code)).hexdigest()[:12]


def _write(path: Path, found: Iterable[Heard]) -> None:
    every = list(found)
    with whole(path) as part, part.open("wb") as file:
        np.savez(
            file,
            mel=np.concatenate([h.mel_TB for h in every]),
            hz=np.concatenate([h.hz_T for h in every]),
            measures=np.stack([h.measures for h in every]),
            lengths=np.array([len(h.mel_TB) for h in every]),
        )


def _read(path: Path) -> list[Heard]:
    with np.load(path) as stored:
        ends = np.cumsum(stored["lengths"])[:-1]
        parts = np.split(stored["mel"], ends), np.split(stored["hz"], ends), stored["measures"]
        return [Heard(*each) for each in zip(*parts, strict=True)]
