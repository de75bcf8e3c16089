"""The last look before anything leaves: words stay inside unless the run's configuration lets them out."""

from __future__ import annotations

import logging

from .context import Session
from .payloads import EstimateV1

logger = logging.getLogger(__name__)


def publishable(estimate: EstimateV1, session: Session) -> EstimateV1:
    """``estimate`` without words where ``publish_text`` is off; they should not have come this far."""
    if session.publish_text or (estimate.text is None and estimate.language is None):
        return estimate
    logger.error("words reached a sink although publish_text is off; they were removed (please report this)")
    return estimate.model_copy(update={"text": None, "language": None})
