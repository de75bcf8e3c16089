"""``lmam run``: what a configuration names, until Ctrl-C."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ..assemble import is_live, require_consent
from ..config import load
from ..context import Session
from ..conversations import new_conversation_id, resume
from .common import add_mqtt, execute, state_dir

log = logging.getLogger(__name__)


def run(path: Path, *, mqtt: str | None, settings: Sequence[str]) -> None:
    config = add_mqtt(load(path, settings), mqtt)
    require_consent(config, str(path))
    live = is_live(config)
    if config.exemption is not None:
        log.warning(
            "purpose %s under the exemption %r of AI Act Art. 5(1)(f)", config.purpose, config.exemption
        )
    conversation = config.conversation or new_conversation_id()
    resumed = resume(state_dir(config), conversation)
    if not config.sink:
        config = config.model_copy(update={"sink": ({"kind": "console"},)})
    session = Session(
        conversation=conversation,
        purpose=config.purpose or "",
        consent=config.consent,
        exemption=config.exemption,
        live=live,
        publish_text=config.publish_text,
        first_sequence=resumed.first_sequence,
        offset=resumed.offset,
    )
    execute(config, session, str(path), lossless=not live)
