"""Devices and servers that tests start for themselves: a sound server, cameras on the network."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamer.types import Picture

SOUND_PROGRAMS = ("pulseaudio", "pactl", "paplay")


class SoundServer:
    """A PulseAudio of one's own with a loudspeaker that is heard by a microphone.

    Set ``environment`` before PortAudio starts (or is started again): it finds the server through it.
    """

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "native"
        self.environment = {
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_SERVER": f"unix:{self._socket}",
            "PULSE_LATENCY_MSEC": "20",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, rate: int = 16_000, channels: int = 1) -> None:
        command = ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"]
        for module in (
            f"module-native-protocol-unix socket={self._socket} auth-anonymous=1",
            f"module-null-sink sink_name=speaker rate={rate} channels={channels}",
            "module-remap-source master=speaker.monitor source_name=microphone",
        ):
            command += ["-L", module]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(100):
            if self._control("info"):
                break
            time.sleep(0.05)
        else:
            self.stop()
            pytest.skip("the sound server did not start")
        assert self._control("set-default-sink", "speaker")
        assert self._control("set-default-source", "microphone")

    def stop(self) -> None:
        """End it as a crash would; streams on it die."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def play(self, wav: Path) -> None:
        """Into the loudspeaker; returns when it has been played."""
        # a deep buffer: on a busy machine a short one runs dry, and the microphone hears the hole
        command = ("paplay", "--device=speaker", "--latency-msec=1000", str(wav))
        environment = {**os.environ, **self.environment}
        del environment["PULSE_LATENCY_MSEC"]
        player = await asyncio.create_subprocess_exec(*command, env=environment)
        assert await player.wait() == 0

    def _control(self, *words: str) -> bool:
        done = subprocess.run(
            ["pactl", *words], env={**os.environ, **self.environment}, capture_output=True, check=False
        )
        return done.returncode == 0


@contextlib.contextmanager
def sound_server(folder: Path, **options: int) -> Iterator[SoundServer]:
    """Skips where the programs (Debian: pulseaudio pulseaudio-utils) are missing."""
    for program in SOUND_PROGRAMS:
        if shutil.which(program) is None:
            pytest.skip(f"needs {program} (apt-get install pulseaudio pulseaudio-utils libasound2-plugins)")
    server = SoundServer(folder)
    server.start(**options)
    try:
        yield server
    finally:
        server.stop()


async def until(true: Callable[[], object]) -> None:
    """Wait for what other threads or programs bring about; the time limit of the test is the only one."""
    while not true():  # noqa: ASYNC110 - nobody could set an event
        await asyncio.sleep(0.002)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def numbered(number: int) -> Picture:
    """A picture with a moving bar, each unlike the one before."""
    bgr = np.full((120, 160, 3), 40, np.uint8)
    bgr[:, (number * 8) % 160 :][:, :8] = (0, 255, 255)
    return bgr


class MjpegCamera:
    """Serves `numbered` pictures over HTTP as network cameras do (multipart/x-mixed-replace).

    ``frozen``: the same picture over and over. ``mute``: connected, but nothing comes.
    """

    def __init__(self, port: int, fps: float = 25.0, picture: Callable[[int], Picture] = numbered) -> None:
        self.port, self._fps, self._picture = port, fps, picture
        self.frozen = self.mute = False
        self.served = 0
        self._server: asyncio.Server | None = None
        self._viewers: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/video.mjpg"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Hang up on everybody."""
        assert self._server is not None
        self._server.close()
        for viewer in list(self._viewers):
            viewer.cancel()
        await asyncio.gather(*self._viewers, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._viewers.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            kind = b"multipart/x-mixed-replace; boundary=frame"
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: " + kind + b"\r\n\r\n--frame\r\n")
            await self._serve(writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._viewers.discard(task)
            writer.close()

    async def _serve(self, writer: asyncio.StreamWriter) -> None:
        while True:
            if not self.mute:
                jpeg = cv2.imencode(".jpg", self._picture(self.served))[1].tobytes()
                self.served += not self.frozen
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                writer.write(head.encode() + jpeg + b"\r\n--frame\r\n")
            await writer.drain()
            await asyncio.sleep(1 / self._fps)


@contextlib.asynccontextmanager
async def mjpeg_camera(port: int | None = None, **options: float) -> AsyncIterator[MjpegCamera]:
    camera = MjpegCamera(port or free_port(), **options)  # type: ignore[arg-type]
    await camera.start()
    try:
        yield camera
    finally:
        await camera.stop()


@contextlib.contextmanager
def ffmpeg(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs Debian's ffmpeg (a sender of test streams) until left; skips where it is missing."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg (apt-get install ffmpeg)")
    process = subprocess.Popen(
        ["ffmpeg", "-nostdin", "-loglevel", "error", *arguments], stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
