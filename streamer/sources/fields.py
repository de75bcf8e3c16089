"""What several configurations share."""

from __future__ import annotations

from pydantic import BeforeValidator


def _off(value: object) -> object:
    return None if value is False else value


Off = BeforeValidator(_off)  # TOML has no word for nothing: ``key = false`` means none
