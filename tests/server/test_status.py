"""Every class of error has its code and its details."""

from __future__ import annotations

import logging
from typing import TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from oncue_engine import errors as engine_errors
from oncue_engine.errors import (
    CheckpointError,
    EngineError,
    GenerationFailed,
    InvalidRequest,
    LengthInfeasible,
    Overloaded,
    ReferenceRejected,
    Unsupported,
)
from oncue_server.errors import AlreadyExists, EtagMismatch, NotFound, ReadOnly, StoreCorrupt
from oncue_server.status import DOMAIN, code_of, to_status

M = TypeVar("M", bound=Message)


def detail(status: status_pb2.Status, kind: type[M]) -> M | None:
    for packed in status.details:
        found = kind()
        if packed.Unpack(found):
            return found
    return None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidRequest("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (ReferenceRejected("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (LengthInfeasible("x"), grpc.StatusCode.FAILED_PRECONDITION),
        (Unsupported("x"), grpc.StatusCode.UNIMPLEMENTED),
        (Overloaded("x", retry_after_s=1.0), grpc.StatusCode.UNAVAILABLE),
        (CheckpointError("x"), grpc.StatusCode.INTERNAL),
        (GenerationFailed("x"), grpc.StatusCode.INTERNAL),
        (NotFound("x"), grpc.StatusCode.NOT_FOUND),
        (AlreadyExists("x"), grpc.StatusCode.ALREADY_EXISTS),
        (EtagMismatch("x"), grpc.StatusCode.ABORTED),
        (ReadOnly("x"), grpc.StatusCode.FAILED_PRECONDITION),
        (StoreCorrupt("x"), grpc.StatusCode.DATA_LOSS),
        (ValueError("x"), grpc.StatusCode.INTERNAL),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.name,
)
def test_codes(error: Exception, code: grpc.StatusCode) -> None:
    assert code_of(error) is code
    assert to_status(error).code == code.value[0]


def test_every_engine_error_is_in_the_table() -> None:
    """A class that nobody mapped would silently become INTERNAL."""
    internal = {EngineError, CheckpointError, GenerationFailed}
    for name in engine_errors.__all__:
        kind = getattr(engine_errors, name)
        error = kind("x", retry_after_s=1.0) if kind is Overloaded else kind("x")
        assert (code_of(error) is grpc.StatusCode.INTERNAL) == (kind in internal), name


def test_reason_metadata_and_field() -> None:
    error = InvalidRequest("too long", reason="TEXT_TOO_LONG", field="utterance.text", metadata={"max_chars": "10"})
    status = to_status(error)
    info = detail(status, error_details_pb2.ErrorInfo)
    assert info is not None
    assert (info.reason, info.domain, dict(info.metadata)) == ("TEXT_TOO_LONG", DOMAIN, {"max_chars": "10"})
    bad = detail(status, error_details_pb2.BadRequest)
    assert bad is not None
    assert [(each.field, each.description) for each in bad.field_violations] == [("utterance.text", "too long")]
    assert detail(status, error_details_pb2.RetryInfo) is None


def test_overloaded_says_when_to_come_back() -> None:
    retry = detail(to_status(Overloaded("busy", retry_after_s=1.25)), error_details_pb2.RetryInfo)
    assert retry is not None
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (1, 250_000_000)


def test_an_unexpected_error_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        status = to_status(ValueError("a secret path"))
    assert "secret" not in str(status)
    assert "a secret path" in caplog.text


def test_a_long_message_does_not_overflow_the_trailers() -> None:
    status = to_status(InvalidRequest("x" * 100_000, field="text"))
    assert len(status.SerializeToString()) < 4096
