"""What is read is never what is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.commands import analyze
from streamer.errors import ConfigError


@pytest.mark.parametrize("written", ["talk.wav", "talk.vtt", "./talk.wav", "link.wav"])
@pytest.mark.parametrize("option", ["out", "json_file"])
def test_a_result_cannot_overwrite_what_is_read(tmp_path: Path, written: str, option: str) -> None:
    media = tmp_path / "talk.wav"
    media.write_bytes(b"sound")
    media.with_suffix(".vtt").write_bytes(b"words")
    (tmp_path / "link.wav").symlink_to(media)
    files: dict[str, Path | None] = {"out": None, "json_file": None, option: tmp_path / written}
    with pytest.raises(ConfigError, match="overwritten"):
        analyze.run(
            media,
            out=files["out"],
            json_file=files["json_file"],
            pace=None,
            mqtt=None,
            purpose="research",
            settings=[],
        )
    assert media.read_bytes() == b"sound"
    assert media.with_suffix(".vtt").read_bytes() == b"words"
