"""Addresses and logins: read as meant, refused with the reason, never shown with a password."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from streamer.errors import ConfigError
from streamer.mqtt.options import PASSWORD, Options, address
from tests.mosquitto import certificate


@pytest.mark.parametrize(
    ("url", "shown", "tls", "websockets"),
    [
        ("mqtt://host", "mqtt://host:1883", False, False),
        ("mqtts://host", "mqtts://host:8883", True, False),
        ("ws://host/mqtt", "ws://host:80/mqtt", False, True),
        ("wss://host:9001", "wss://host:9001", True, True),
        ("mqtt://me@10.0.0.7:1884/", "mqtt://me@10.0.0.7:1884", False, False),
        ("mqtt://[::1]", "mqtt://[::1]:1883", False, False),
        ("mqtt://a%40b:p%2Fw@host", "mqtt://a@b@host:1883", False, False),
    ],
)
def test_a_url_is_taken_apart(url: str, shown: str, tls: bool, websockets: bool) -> None:
    at = address(url)
    assert (str(at), at.tls, at.websockets) == (shown, tls, websockets)


def test_a_password_in_the_url_is_used_and_never_shown() -> None:
    options = Options(url="mqtt://a%40b:p%2Fw@host")
    assert options.login() == ("a@b", "p/w")
    assert "p/w" not in f"{options.address} {options.address!r}"


@pytest.mark.parametrize(
    "url",
    ["host", "host:1883", "http://host", "mqtt://", "mqtt://host/topic", "mqtt://host:x", "mqtt://h?q=1"],
)
def test_what_is_no_brokers_url_is_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(ConfigError):
        address(url)
    secret = url.replace("://", "://me:geheim@")
    with pytest.raises(ConfigError) as caught:
        address(secret)
    assert "geheim" not in str(caught.value)


def test_the_password_comes_from_the_first_place_that_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, "environment")
    (tmp_path / "password").write_text("file\nsecond line\n")
    assert Options(url="mqtt://me@h").login() == ("me", "environment")
    assert Options(url="mqtt://me:url@h").login() == ("me", "url")
    assert Options(url="mqtt://h", user="me", password="config").login() == ("me", "config")
    assert Options(url="mqtt://me:url@h", password_file=tmp_path / "password").login() == ("me", "file")
    assert Options(url="mqtt://h").login() == (None, None)


def test_an_option_of_the_same_name_goes_before_the_url() -> None:
    assert Options(url="mqtt://one:p@h", user="two").login() == ("two", "p")


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe\xff"])
def test_a_password_file_that_holds_none_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"password: the password file"):
        Options(url="mqtt://me@h", password_file=file).login()


def test_a_password_without_a_user_is_refused() -> None:
    with pytest.raises(ConfigError, match="a password without a user"):
        Options(url="mqtt://h", password="p").login()


def test_no_url_is_said() -> None:
    with pytest.raises(ConfigError, match="no broker"):
        _ = Options().address


def test_passwords_do_not_show_in_the_config() -> None:
    assert "geheim" not in repr(Options(url="mqtt://h", user="me", password="geheim"))


def test_a_plain_connection_has_no_tls() -> None:
    assert Options(url="mqtt://h").tls() is None


def test_tls_checks_the_broker_unless_told_not_to(tmp_path: Path) -> None:
    cert = certificate(tmp_path)
    strict = Options(url="mqtts://h", ca=cert, cert=cert, key=tmp_path / "key.pem").tls()
    loose = Options(url="mqtts://h", insecure=True).tls()
    assert strict is not None
    assert loose is not None
    assert (strict.check_hostname, strict.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert (loose.check_hostname, loose.verify_mode) == (False, ssl.CERT_NONE)


@pytest.mark.parametrize("options", [{"ca": "x.pem"}, {"cert": "x.pem"}, {"insecure": True}])
def test_tls_options_with_a_plain_url_are_a_mistake(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="need mqtts:// or wss://"):
        Options(url="mqtt://h", **options).tls()


@pytest.mark.parametrize("options", [{"ca": "no.pem"}, {"cert": "no.pem"}])
def test_a_certificate_that_cannot_be_read_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"no\.pem"):
        Options(url="mqtts://h", **options).tls()


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(ConfigError, match=r"text\.pem: not a certificate"):
        Options(url="mqtts://h", ca=tmp_path / "text.pem").tls()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"key": "k.pem"}, "key is given without cert"),
        ({"protocol": "4"}, "protocol"),
        ({"keepalive": 0}, "keepalive"),
        ({"url": "http://h"}, "expected mqtt://host"),
        ({"hots": "h"}, "hots"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Options(**{"url": "mqtt://h", **options})
