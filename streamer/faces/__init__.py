"""Finding, following and judging faces; `streamer.encoders.face` is the stage that uses it."""
