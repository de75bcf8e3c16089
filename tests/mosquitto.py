"""Debian's mosquitto on a free loopback port: plain, with TLS and passwords, over websockets, persistent."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

USER, PASSWORD = "node", "a good password"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


async def until_open(port: int) -> None:
    """Wait until something listens there, five seconds at most."""
    for left in reversed(range(200)):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if not left:
                raise
            await asyncio.sleep(0.025)
            continue
        writer.close()
        await writer.wait_closed()
        return


@dataclass
class Mosquitto:
    """A broker that can be stopped and started again on the same port, with what it persisted."""

    folder: Path
    listener: Sequence[str] = ()
    scheme: str = "mqtt"
    persistent: bool = False
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def start(self) -> None:
        config = self.folder / "mosquitto.conf"
        lines = [
            *(["user root"] if os.geteuid() == 0 else []),
            *([f"persistence true\npersistence_location {self.folder}/"] if self.persistent else []),
            "per_listener_settings false",
            f"listener {self.port} 127.0.0.1",
            *(self.listener or ["allow_anonymous true"]),
        ]
        config.write_text("\n".join(lines) + "\n")
        self._process = _spawn(config, self.folder / "mosquitto.log")
        try:
            await until_open(self.port)
        except OSError:
            self.stop()
            raise RuntimeError((self.folder / "mosquitto.log").read_text()) from None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    async def __aenter__(self) -> Mosquitto:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()


def mosquitto(folder: Path, *, persistent: bool = False) -> Mosquitto:
    """Open to everybody on loopback."""
    _program()
    return Mosquitto(folder, persistent=persistent)


def with_password(folder: Path, acl: str | None = None) -> Mosquitto:
    """Only for `USER` with `PASSWORD`; ``acl``: lines of an access list."""
    lines = ["allow_anonymous false", f"password_file {_passwords(folder)}"]
    if acl is not None:
        (folder / "acl").write_text(acl)
        lines.append(f"acl_file {folder / 'acl'}")
    return Mosquitto(folder, lines)


def with_tls(folder: Path, *, client_certificates: bool = False) -> Mosquitto:
    """TLS with the self-signed ``cert.pem`` and ``key.pem`` of ``folder``, and a password."""
    certificate(folder)
    lines = [
        f"certfile {folder / 'cert.pem'}",
        f"keyfile {folder / 'key.pem'}",
        *([f"cafile {folder / 'cert.pem'}", "require_certificate true"] if client_certificates else []),
        "allow_anonymous false",
        f"password_file {_passwords(folder)}",
    ]
    return Mosquitto(folder, lines, scheme="mqtts")


def with_websockets(folder: Path) -> Mosquitto:
    _program()
    plain = [f"listener {free_port()} 127.0.0.1", "allow_anonymous true"]  # it refuses websockets alone
    return Mosquitto(folder, ["protocol websockets", "allow_anonymous true", *plain], scheme="ws")


def certificate(folder: Path, name: str = "cert") -> Path:
    """A self-signed certificate for localhost, with its key beside it (cert.pem, key.pem)."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed (apt install openssl)")
    cert, key = folder / f"{name}.pem", folder / f"{name.replace('cert', 'key')}.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        [*command, "-days", "2", "-keyout", str(key), "-out", str(cert), *names],
        check=True,
        capture_output=True,
    )
    return cert


def _spawn(config: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen([_program(), "-c", str(config)], stdout=out, stderr=out)


def _passwords(folder: Path) -> Path:
    _program()
    file = folder / "passwords"
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", str(file), USER, PASSWORD], check=True, capture_output=True
    )
    return file


def _program() -> str:
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed (apt install mosquitto)")
    return program
