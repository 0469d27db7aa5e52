"""The one table from errors to gRPC statuses with google.rpc details."""

from __future__ import annotations

import logging

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from oncue_engine.errors import (
    CheckpointError,
    EngineError,
    GenerationFailed,
    InvalidRequest,
    LengthInfeasible,
    OutOfMemory,
    Overloaded,
    Unsupported,
)
from oncue_server.errors import AlreadyExists, EtagMismatch, NotFound, ReadOnly, StoreCorrupt

__all__ = ["DOMAIN", "code_of", "to_status"]

DOMAIN = "oncue.dev"
"""ErrorInfo.domain of every error."""

_MAX_MESSAGE_CHARS = 500
"""Trailers have about 8 KiB in all, and the message stands in them twice."""

# The first class that fits counts, so the special ones stand before their bases.
_CODES: tuple[tuple[type[EngineError], grpc.StatusCode], ...] = (
    (LengthInfeasible, grpc.StatusCode.FAILED_PRECONDITION),
    (InvalidRequest, grpc.StatusCode.INVALID_ARGUMENT),
    (NotFound, grpc.StatusCode.NOT_FOUND),
    (AlreadyExists, grpc.StatusCode.ALREADY_EXISTS),
    (EtagMismatch, grpc.StatusCode.ABORTED),
    (ReadOnly, grpc.StatusCode.FAILED_PRECONDITION),
    (Unsupported, grpc.StatusCode.UNIMPLEMENTED),
    (Overloaded, grpc.StatusCode.UNAVAILABLE),
    (StoreCorrupt, grpc.StatusCode.DATA_LOSS),
    (CheckpointError, grpc.StatusCode.INTERNAL),
    (OutOfMemory, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (GenerationFailed, grpc.StatusCode.INTERNAL),
)

_log = logging.getLogger(__name__)


def code_of(error: Exception) -> grpc.StatusCode:
    """The status code for an error; INTERNAL for everything that is not in the table."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return grpc.StatusCode.INTERNAL


def to_status(error: Exception) -> status_pb2.Status:
    """The whole answer to an error: code, message, ErrorInfo, and BadRequest and RetryInfo where they apply.

    Errors of no known class are logged with their traceback and told to the caller without it.
    """
    code = code_of(error)
    if not isinstance(error, EngineError):
        _log.error("unexpected error", exc_info=error)
        error = EngineError("an error inside the server", reason="INTERNAL")
    message = str(error)[:_MAX_MESSAGE_CHARS]
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata),
    ]
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, Overloaded):
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(round(error.retry_after_s * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return status_pb2.Status(code=code.value[0], message=message, details=[_pack(detail) for detail in details])


def _pack(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
