"""StreamerError
├── ConfigError       the configuration or command line is wrong: fix it (exit code 2)
├── CaptureError      a device, stream or file cannot be read
├── TranscribeError   the recogniser cannot run
├── EncodeError       an encoder cannot run, or its weights cannot be read
└── PublishError      a sink cannot deliver
"""


class StreamerError(Exception):
    """Root of everything this package raises on purpose; the message says what the operator can do."""


class ConfigError(StreamerError):
    pass


class CaptureError(StreamerError):
    pass


class TranscribeError(StreamerError):
    pass


class EncodeError(StreamerError):
    pass


class PublishError(StreamerError):
    pass
