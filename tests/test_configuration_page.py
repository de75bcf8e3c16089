"""The page about the configuration is what the code says."""

from __future__ import annotations

import re

from scripts.describe_configuration import TARGET, page


def test_the_page_is_current() -> None:
    assert TARGET.read_text() == page(), "run scripts/describe_configuration.py"


def test_every_key_is_explained() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert [row for row in rows if re.search(r"\|\s*\|$", row)] == []


def test_every_type_is_said_in_words_a_password_as_a_secret_text() -> None:
    assert "<class" not in page()
    assert "| `password` | text (secret) or none |" in page()
