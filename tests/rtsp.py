"""A small RTSP server for tests: MPEG-TS over RTP, inside the RTSP connection (RFC 2326, RFC 2250)."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import av

from tests.virtual import free_port, numbered

SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\n"
PACKET = 188


def transport_stream(seconds: float, fps: int) -> list[bytes]:
    """`numbered` pictures as MPEG-TS, in pieces of a picture each."""
    buffer, pieces = io.BytesIO(), []
    with av.open(buffer, "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.gop_size = 5
        for number in range(round(seconds * fps)):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="bgr24")
            container.mux(stream.encode(frame))
            pieces.append(buffer.getvalue())
            buffer.seek(0)
            buffer.truncate()
        container.mux(stream.encode(None))
    return [p for p in pieces if p]


class RtspCamera:
    """Serves one film over and over. ``password``: what the user `viewer` must give."""

    def __init__(self, port: int, fps: int = 25, password: str | None = None) -> None:
        self.port, self._fps, self._password = port, fps, password
        self._film = transport_stream(20.0, fps)
        self._server: asyncio.Server | None = None
        self._viewers: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for viewer in list(self._viewers):
            viewer.cancel()
        await asyncio.gather(*self._viewers, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._viewers.add(task)
        sender: asyncio.Task[None] | None = None
        try:
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).decode(errors="replace")
                verb = request.lstrip("$\0").split()[0]
                await self._answer(writer, verb, request)
                if verb == "PLAY" and sender is None:
                    sender = asyncio.create_task(self._send(writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._viewers.discard(task)
            if sender is not None:
                sender.cancel()
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, verb: str, request: str) -> None:
        lines = dict(line.split(": ", 1) for line in request.splitlines()[1:] if ": " in line)
        status, head, body = "200 OK", "", ""
        wanted = base64.b64encode(f"viewer:{self._password}".encode()).decode()
        if self._password is not None and lines.get("Authorization") != f"Basic {wanted}":
            status, head = "401 Unauthorized", 'WWW-Authenticate: Basic realm="test"\r\n'
        elif verb == "OPTIONS":
            head = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif verb == "DESCRIBE":
            head, body = "Content-Type: application/sdp\r\n", SDP
        elif verb == "SETUP":
            head = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
        elif verb == "PLAY":
            head = "Session: 1\r\nRange: npt=0.000-\r\n"
        answer = f"RTSP/1.0 {status}\r\nCSeq: {lines.get('CSeq', '0')}\r\n{head}"
        writer.write(f"{answer}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        sequence = itertools.count()
        for number, piece in enumerate(itertools.cycle(self._film)):
            for at in range(0, len(piece), 7 * PACKET):
                stamp = number * 90_000 // self._fps
                rtp = struct.pack(">BBHII", 0x80, 33, next(sequence) & 0xFFFF, stamp & 0xFFFFFFFF, 1)
                payload = rtp + piece[at : at + 7 * PACKET]
                writer.write(b"$\0" + struct.pack(">H", len(payload)) + payload)
            await writer.drain()
            await asyncio.sleep(1 / self._fps)


@asynccontextmanager
async def rtsp_camera(password: str | None = None) -> AsyncIterator[RtspCamera]:
    camera = RtspCamera(free_port(), password=password)
    await camera.start()
    try:
        yield camera
    finally:
        await camera.stop()
