"""A publisher of weights on loopback: what a model hub and a plain file server answer, and how they fail."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from streamer.download import File


@dataclass
class Publisher:
    """``files`` by path; ``breaks`` cuts the first answer for a path after so many bytes."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    breaks: dict[str, int] = field(default_factory=dict)
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def file(self, name: str) -> File:
        data = self.files[f"/{name}"]
        return File(name, f"{self.address}/{name}", len(data), sha256=hashlib.sha256(data).hexdigest())

    def repository(self, name: str, files: dict[str, bytes]) -> None:
        """Offer ``files`` as a model hub does: the large one by SHA-256, the others by git's SHA-1."""
        siblings: list[dict[str, Any]] = []
        for path, data in files.items():
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
            told: dict[str, Any] = {"rfilename": path, "size": len(data), "blobId": blob}
            if path == "model.bin":
                told["lfs"] = {
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "size": len(data),
                    "pointerSize": 1,
                }
            siblings.append(told)
            self.files[f"/{name}/resolve/cafe/{path}"] = data
        answer = json.dumps({"sha": "cafe", "siblings": siblings}).encode()
        self.files[f"/api/models/{name}/revision/main"] = answer


@contextmanager
def publisher() -> Iterator[Publisher]:
    state = Publisher("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, wanted = self.path.partition("?")[0], self.headers.get("Range")
            state.asked.append((path, wanted))
            if path not in state.files:
                self.send_error(404)
                return
            data = state.files[path]
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            self.wfile.write(data[start : state.breaks.pop(path, len(data))])

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
