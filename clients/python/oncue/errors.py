"""Everything that can go wrong on the way to a server, as one small tree.

    SpeechError
    ├── InvalidRequest      the caller can mend it: `field` says where, `metadata` holds the limit
    │   └── LengthInfeasible    a length the text cannot be spoken in; `metadata` holds the range
    ├── NotFound            no such voice, emotion or running stream
    ├── AlreadyExists       the id is taken
    ├── Conflict            the resource changed in between, or is not in a state for this
    ├── Unsupported         the loaded model or the server does not have it
    ├── Unavailable         not now; `retry_after_s` says when to try again, if the server knows
    ├── DeadlineExceeded    the caller's own timeout ran out
    ├── Denied              missing or wrong credentials
    └── ServerFault         the server or the model went wrong

Programs switch on `reason`, a constant in capitals such as `TEXT_EMPTY`; the message is for people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

__all__ = [
    "AlreadyExists",
    "Conflict",
    "DeadlineExceeded",
    "Denied",
    "InvalidRequest",
    "LengthInfeasible",
    "NotFound",
    "ServerFault",
    "SpeechError",
    "Unavailable",
    "Unsupported",
    "from_rpc_error",
    "typed_errors",
]

_DETAILS_KEY = "grpc-status-details-bin"


class SpeechError(Exception):
    """Base of all errors of this package.

    `code` is the gRPC status, `reason` the server's constant or empty, `field` the path of the request's field at
    fault or empty, `metadata` limits and measured values as strings, `retry_after_s` the server's advice or None.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        reason: str = "",
        field: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.field = field
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retry_after_s = retry_after_s


class InvalidRequest(SpeechError):
    """The request itself is wrong."""


class LengthInfeasible(InvalidRequest):
    """A length outside the range that STRICT accepts."""


class NotFound(SpeechError):
    """No voice or emotion of that name, no running stream of that id."""


class AlreadyExists(SpeechError):
    """The id is taken."""


class Conflict(SpeechError):
    """The resource is not as the request takes it to be (etag, built-in voice)."""


class Unsupported(SpeechError):
    """The server or its model does not have it."""


class Unavailable(SpeechError):
    """Nobody listens at the address, or the server has no room now."""


class DeadlineExceeded(SpeechError):
    """The timeout of the call ran out."""


class Denied(SpeechError):
    """Missing or wrong credentials."""


class ServerFault(SpeechError):
    """The server or the model went wrong."""


_CLASSES: Mapping[grpc.StatusCode, type[SpeechError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.FAILED_PRECONDITION: Conflict,
    grpc.StatusCode.UNIMPLEMENTED: Unsupported,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: Denied,
    grpc.StatusCode.PERMISSION_DENIED: Denied,
}


def from_rpc_error(error: grpc.aio.AioRpcError) -> SpeechError:
    """The typed error for a failed call, with the google.rpc details that came in its trailers."""
    reason, field, metadata, retry_after_s = "", "", dict[str, str](), None
    for detail in _details(error):
        if isinstance(detail, error_details_pb2.ErrorInfo):
            reason, metadata = detail.reason, dict(detail.metadata)
        elif isinstance(detail, error_details_pb2.BadRequest) and detail.field_violations:
            field = detail.field_violations[0].field
        elif isinstance(detail, error_details_pb2.RetryInfo):
            retry_after_s = detail.retry_delay.seconds + detail.retry_delay.nanos / 1e9
    kind = LengthInfeasible if reason == "DURATION_INFEASIBLE" else _CLASSES.get(error.code(), ServerFault)
    return kind(
        error.details() or error.code().name,
        code=error.code(),
        reason=reason,
        field=field,
        metadata=metadata,
        retry_after_s=retry_after_s,
    )


@contextmanager
def typed_errors() -> Iterator[None]:
    """Turns an AioRpcError that leaves the block into a SpeechError."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error


def _details(error: grpc.aio.AioRpcError) -> Iterator[Message]:
    """The details that this package knows. A trailer that does not parse is no reason to hide the status itself."""
    trailers: Any = error.trailing_metadata() or ()
    for key, value in trailers:
        if key != _DETAILS_KEY:
            continue
        try:
            status = status_pb2.Status.FromString(value)
        except DecodeError:
            return
        for packed in status.details:
            for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
                detail = kind()
                if packed.Unpack(detail):
                    yield detail
