"""Words leave only where the run says so."""

from __future__ import annotations

import logging

import pytest

from streamer.context import Session
from streamer.redact import publishable
from tests.messages import estimate


def session(publish_text: bool) -> Session:
    return Session(conversation="c1", purpose="demo", publish_text=publish_text)


def test_words_pass_where_they_may() -> None:
    assert publishable(estimate(1), session(True)) == estimate(1)


def test_words_and_their_language_are_removed_where_they_may_not(caplog: pytest.LogCaptureFixture) -> None:
    quiet = publishable(estimate(1, text="a secret"), session(False))
    assert (quiet.text, quiet.language) == (None, None)
    assert quiet.emotion == estimate(1).emotion
    assert "publish_text is off" in caplog.text
    assert "secret" not in caplog.text


def test_an_estimate_without_words_raises_no_alarm(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        publishable(estimate(1, text=None), session(False))
    assert caplog.text == ""
