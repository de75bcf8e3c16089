"""Packages that only some commands need: how a user gets them."""

from __future__ import annotations

import shlex
import sys


def install(extra: str) -> str:
    """The command that brings the packages of ``extra`` to the Python that runs this."""
    return f"{shlex.quote(sys.executable)} -m pip install 'lmam-streamer[{extra}]'"
