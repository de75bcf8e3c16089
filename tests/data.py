"""Where tests find recordings that are not part of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def shared_data(*parts: str) -> Path:
    """``../shared/data/<parts>`` beside the checkout; skips the test where it is absent."""
    path = ROOT.parent.joinpath("shared", "data", *parts)
    if not path.exists():
        pytest.skip(f"needs {'/'.join(('shared', 'data', *parts))} beside the checkout")
    return path


def speaker_encoder() -> Path:
    """The weights inside the package resemblyzer, which is optional; skips the test where it is absent."""
    from models.encoders.speaker import INSTALL, packaged

    path = packaged()
    if path is None:
        pytest.skip(f"needs the speaker encoder: {INSTALL}")
    return path
