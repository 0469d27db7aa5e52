"""Everything the engine refuses, as one small tree.

    EngineError
    ├── InvalidRequest          the caller can mend it: a field, and a limit where there is one
    │   ├── ReferenceRejected   reference audio that cannot become a prompt
    │   └── LengthInfeasible    a length outside what the text can be spoken in
    ├── Unsupported             the loaded model does not have what was asked for
    ├── Overloaded              not now; `retry_after_s` says when to try again
    ├── CheckpointError         files of a model that are missing, misshapen or corrupt
    └── GenerationFailed        the model itself went wrong (NaN, no end, an exception in a stage)
        └── OutOfMemory         there was no memory for this utterance

Each carries a `reason`: a constant in capitals that programs switch on; the message is for people.
The server maps this tree to gRPC codes in one place.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "CheckpointError",
    "EngineError",
    "GenerationFailed",
    "InvalidRequest",
    "LengthInfeasible",
    "OutOfMemory",
    "Overloaded",
    "ReferenceRejected",
    "Unsupported",
]


class EngineError(Exception):
    """Base of all engine errors.

    `reason` is a constant such as `TEXT_EMPTY`; `field` the request's field path, or empty;
    `metadata` limits and measured values as strings, such as {"min_samples": "12000"}.
    """

    default_reason = "ENGINE_ERROR"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        field: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason or self.default_reason
        self.field = field
        self.metadata: dict[str, str] = dict(metadata or {})


class InvalidRequest(EngineError):
    """The request itself is wrong, whatever the model or the load."""

    default_reason = "INVALID_REQUEST"


class ReferenceRejected(InvalidRequest):
    """Reference audio that is not audio, too short, too long or silent (reasons `REFERENCE_*`)."""

    default_reason = "REFERENCE_REJECTED"


class LengthInfeasible(InvalidRequest):
    """A length under STRICT policy outside the feasible range; the range is in the metadata."""

    default_reason = "DURATION_INFEASIBLE"


class Unsupported(EngineError):
    """The loaded model lacks it: an emotion name, words as emotion, a language."""

    default_reason = "UNSUPPORTED"


class Overloaded(EngineError):
    """No room to start before the deadline."""

    default_reason = "OVERLOADED"

    def __init__(self, message: str, *, retry_after_s: float, reason: str = "", field: str = "") -> None:
        super().__init__(message, reason=reason, field=field)
        self.retry_after_s = retry_after_s


class CheckpointError(EngineError):
    """A model's files are missing, misshapen or corrupt; the message names the key or file."""

    default_reason = "CHECKPOINT_INVALID"


class GenerationFailed(EngineError):
    """The model went wrong in mid-utterance."""

    default_reason = "GENERATION_FAILED"


class OutOfMemory(GenerationFailed):
    """A call for this utterance did not get the memory it needs; those beside it go on."""

    default_reason = "OUT_OF_MEMORY"
