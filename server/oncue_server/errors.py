"""What the server refuses beyond what the engine refuses: resources that are missing, taken, changed or read-only."""

from __future__ import annotations

from oncue_engine.errors import EngineError

__all__ = ["AlreadyExists", "EtagMismatch", "NotFound", "ReadOnly", "StoreCorrupt"]


class NotFound(EngineError):
    """No such voice, emotion or running utterance."""

    default_reason = "NOT_FOUND"


class AlreadyExists(EngineError):
    """The id is taken."""

    default_reason = "ALREADY_EXISTS"


class EtagMismatch(EngineError):
    """The resource has changed since the caller read it."""

    default_reason = "ETAG_MISMATCH"


class ReadOnly(EngineError):
    """Built-in voices cannot be changed or removed."""

    default_reason = "VOICE_BUILT_IN"


class StoreCorrupt(EngineError):
    """A record on disk that does not read back; the message names the file."""

    default_reason = "STORE_CORRUPT"
