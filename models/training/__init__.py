"""Training and evaluation of `models.conversation` on any corpus: ``lmam train``, ``evaluate``, ``sweep``."""
