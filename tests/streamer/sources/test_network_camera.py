from __future__ import annotations

import pytest
from pydantic import ValidationError

from streamer.sources.network_camera import Config, public


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://user:secret@cam.local:554/live", "rtsp://cam.local:554/live"),
        ("http://token@cam/video.mjpg?size=1", "http://cam/video.mjpg?size=1"),
        ("http://cam/a@b", "http://cam/a@b"),
        ("rtsp://user:p@ss@cam/live", "rtsp://cam/live"),
    ],
)
def test_messages_show_addresses_without_user_and_password(url: str, shown: str) -> None:
    assert public(url) == shown


@pytest.mark.parametrize("url", ["/dev/video0", "talk.mp4", "file:///etc/passwd", "concat:a|b", "rtsp"])
def test_only_network_addresses_are_taken(url: str) -> None:
    with pytest.raises(ValidationError, match="files: kind media"):
        Config(url=url)


def test_an_unknown_transport_is_refused() -> None:
    with pytest.raises(ValidationError):
        Config(url="rtsp://cam/live", transport="carrier pigeon")
