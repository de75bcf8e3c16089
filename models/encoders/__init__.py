"""Networks behind text, voice and face features."""
