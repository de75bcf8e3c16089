"""How to reach a broker: the address, who we are, and what proves it."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from ..errors import ConfigError

PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
PASSWORD = "LMAM_MQTT_PASSWORD"  # the environment variable


@dataclass(frozen=True, slots=True)
class Address:
    """A broker's URL, taken apart. ``str()`` never shows the password."""

    scheme: str
    host: str
    port: int
    path: str = ""
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def tls(self) -> bool:
        return self.scheme in ("mqtts", "wss")

    @property
    def websockets(self) -> bool:
        return self.scheme in ("ws", "wss")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{f'{self.user}@' if self.user else ''}{host}:{self.port}{self.path}"


def address(url: str) -> Address:
    """Take ``mqtt://user@host:1883`` (or ``mqtts``, ``ws``, ``wss``) apart.

    Raises:
        ConfigError: says what a broker's URL looks like.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{_shown(url)}: not a broker's URL ({error})") from None
    if parts.scheme not in PORTS or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(
            f"{_shown(url)}: not a broker's URL; expected mqtt://host, mqtts://host (TLS), ws://host/path or"
            " wss://host/path, with user@ and :port where needed"
        )
    path = parts.path.rstrip("/")
    if path and not parts.scheme.startswith("ws"):
        raise ConfigError(f"{_shown(url)}: only ws:// and wss:// take a path, {parts.scheme}:// does not")
    return Address(
        parts.scheme,
        parts.hostname,
        port or PORTS[parts.scheme],
        path,
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
    )


class Options(BaseModel):
    """What every connection needs, publishing or watching."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = Field(None, description="mqtt://user@host:1883, mqtts://, ws:// or wss://")
    user: str | None = Field(None, description="user name, unless the URL holds it")
    password: SecretStr | None = Field(
        None, description=f"better kept out of files: {PASSWORD} in the environment, or password_file"
    )
    password_file: Path | None = Field(None, description="file whose first line is the password")
    ca: Path | None = Field(
        None, description="certificate authority of the broker (PEM); default: the system's"
    )
    cert: Path | None = Field(None, description="client certificate (PEM)")
    key: Path | None = Field(None, description="key of the client certificate (PEM); default: in cert")
    insecure: bool = Field(False, description="accept any certificate: for tests only")
    protocol: Literal["auto", "5", "3.1.1"] = Field("auto", description="auto: 5, and 3.1.1 if it is refused")
    keepalive: int = Field(15, ge=2, le=3600, description="seconds of silence after which a ping is sent")

    @field_validator("url")
    @classmethod
    def _readable(cls, url: str | None) -> str | None:
        if url is not None:
            try:
                address(url)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return url

    @model_validator(mode="after")
    def _key_needs_cert(self) -> Options:
        if self.key and not self.cert:
            raise ValueError("key is given without cert")
        return self

    @property
    def address(self) -> Address:
        if self.url is None:
            raise ConfigError('no broker: give url = "mqtt://host"')
        return address(self.url)

    def login(self) -> tuple[str | None, str | None]:
        """User and password, from the first place that has one: file, config, URL, environment.

        Raises:
            ConfigError: the password file cannot be read, or there is a password and no user.
        """
        at = self.address
        user, password = self.user or at.user, at.password
        if self.password is not None:
            password = self.password.get_secret_value()
        if self.password_file is not None:
            password = _first_line(self.password_file)
        if password is None and user is not None:
            password = os.environ.get(PASSWORD)
        if password is not None and user is None:
            raise ConfigError(f"{at}: a password without a user; put user@ into the URL or set user")
        return user, password

    def tls(self) -> ssl.SSLContext | None:
        """What proves the broker to us and us to the broker; None without TLS.

        Raises:
            ConfigError: a file cannot be read or is no certificate, or TLS options come with a plain URL.
        """
        if not self.address.tls:
            if self.ca or self.cert or self.insecure:
                raise ConfigError(f"{self.address}: ca, cert, key and insecure need mqtts:// or wss://")
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"{self.ca}: not a certificate that can be read ({error})") from error
        if self.cert is not None:
            try:
                context.load_cert_chain(self.cert, self.key)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(
                    f"{self.cert}, {self.key or 'no key file'}: not a certificate and its key ({error})"
                ) from error
        if self.insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


def _first_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the password file cannot be read ({error})") from error
    if not lines or not lines[0]:
        raise ConfigError(f"{path}: the password file is empty")
    return lines[0]


def _shown(url: str) -> str:
    """``url`` without anything that could be a password."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
