"""Small media files that the tests write for themselves."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import soundfile

from streamer.context import Context, Session
from streamer.types import Floats, Picture


def context(tmp_path: Path) -> Context:
    return Context(session=Session(conversation="test", purpose="demo"), state_dir=tmp_path)


def tone(seconds: float, rate: int, hertz: float = 440.0, loudness: float = 0.5) -> Floats:
    return (loudness * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_wav(path: Path, pcm: Floats, rate: int, subtype: str = "PCM_16") -> Path:
    """``pcm``: ``[n]`` or ``[n, channels]``."""
    soundfile.write(path, pcm, rate, subtype=subtype)
    return path


def picture(number: int, width: int = 64, height: int = 48) -> Picture:
    """Grey; the brightness tells the number (4 a step, so that lossy codecs keep it)."""
    return np.full((height, width, 3), 20 + number * 4 % 232, np.uint8)


def shown(bgr: Picture) -> int:
    """The number that `picture` was made with."""
    return round((float(bgr.mean()) - 17.5) / 4)  # the way through the codec takes 2.5 off


def write_media(
    path: Path,
    *,
    sound: Iterable[tuple[float, Floats]] = (),
    pictures: Iterable[tuple[float, Picture]] = (),
    rate: int = 16_000,
    fps: int = 25,
    audio_codec: str = "pcm_s16le",
    video_codec: str = "mpeg4",
) -> Path:
    """A file of blocks of mono sound and of pictures, each at its own time in seconds."""
    blocks, images = list(sound), list(pictures)
    with av.open(str(path), "w") as container:
        audio = video = None
        if images:
            video = container.add_stream(video_codec, rate=fps)
            video.height, video.width = images[0][1].shape[:2]
            video.pix_fmt = "yuv420p"
            video.codec_context.gop_size = (
                1  # a small change of brightness would be left out of the next picture
            )
            video.codec_context.bit_rate = 2_000_000
        if blocks:
            audio = container.add_stream(audio_codec, rate=rate)
            audio.layout = "mono"
        entries = [(t, 0, b) for t, b in blocks] + [(t, 1, p) for t, p in images]
        for time, kind, data in sorted(entries, key=lambda e: e[:2]):
            if kind == 0:
                assert audio is not None
                frame = av.AudioFrame.from_ndarray(
                    (data[None] * 32767).astype(np.int16), format="s16", layout="mono"
                )
                frame.sample_rate = rate
                frame.pts, frame.time_base = round(time * rate), Fraction(1, rate)
                container.mux(audio.encode(frame))
            else:
                assert video is not None
                shot = av.VideoFrame.from_ndarray(data, format="bgr24")
                shot.pts, shot.time_base = round(time * 1000), Fraction(1, 1000)
                shot = shot.reformat(format="yuv420p")
                container.mux(video.encode(shot))
        for stream in (audio, video):
            if stream is not None:
                container.mux(stream.encode(None))
    return path


def film(path: Path, seconds: float = 2.0, fps: int = 25, begin: float = 0.0, **options: object) -> Path:
    """A tone with numbered pictures, stamped from ``begin`` on."""
    blocks = [(begin + i / 10, tone(0.1, 16_000)) for i in range(round(seconds * 10))]
    images = [(begin + i / fps, picture(i)) for i in range(round(seconds * fps))]
    return write_media(path, sound=blocks, pictures=images, fps=fps, **options)  # type: ignore[arg-type]


def with_cover(mp3: Path) -> Path:
    """Put a picture into the file's ID3 tag, as music shops do."""
    jpeg = cv2.imencode(".jpg", picture(3))[1].tobytes()
    body = b"\x00image/jpeg\x00\x03\x00" + jpeg
    frame = b"APIC" + len(body).to_bytes(4, "big") + b"\x00\x00" + body
    size = bytes((len(frame) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    mp3.write_bytes(b"ID3\x03\x00\x00" + size + frame + mp3.read_bytes())
    return mp3


def turned(mp4: Path) -> Path:
    """Mark the pictures as lying on their side (a quarter turn clockwise puts them upright)."""
    data = bytearray(mp4.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 36  # version and flags, then 36 bytes of times and numbers
    one = 1 << 16
    values = (0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    data[matrix : matrix + 36] = b"".join(v.to_bytes(4, "big", signed=True) for v in values)
    mp4.write_bytes(data)
    return mp4
