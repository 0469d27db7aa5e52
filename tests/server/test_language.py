"""The language of an utterance, over a real socket: a model with one language."""

from __future__ import annotations

import grpc.aio
import pytest

from oncue.v1 import server_service_pb2, speech_service_pb2

from .asking import TEXT, Stubs, refusal_of, stream_request


def planned(**utterance: str) -> speech_service_pb2.PlanUtteranceRequest:
    return speech_service_pb2.PlanUtteranceRequest(
        utterance=speech_service_pb2.Utterance(**{"text": TEXT, **utterance})  # type: ignore[arg-type]
    )


async def test_a_language_that_the_model_speaks(stubs: Stubs) -> None:
    info = (await stubs.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())).info
    assert list(info.languages) == ["en"]
    unset = await stubs.speech.PlanUtterance(planned())
    for tag in ("en", "EN", "en-GB"):
        assert await stubs.speech.PlanUtterance(planned(language=tag)) == unset
    request = speech_service_pb2.SynthesizeRequest(
        utterance=speech_service_pb2.Utterance(text=TEXT, language="en-US", seed=7)
    )
    assert (await stubs.speech.Synthesize(request)).audio


@pytest.mark.parametrize(
    ("tag", "reason", "limits"),
    [
        ("zh-Hans-CN", "LANGUAGE_UNSUPPORTED", {"supported": "en"}),
        ("fr", "LANGUAGE_UNSUPPORTED", {"supported": "en"}),
        ("en_GB", "LANGUAGE_INVALID", {}),
        ("English please", "LANGUAGE_INVALID", {}),
    ],
)
async def test_other_languages_are_refused(stubs: Stubs, tag: str, reason: str, limits: dict[str, str]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as from_plan:
        await stubs.speech.PlanUtterance(planned(language=tag))
    with pytest.raises(grpc.aio.AioRpcError) as from_stream:
        async for _ in stubs.speech.StreamSynthesize(stream_request(language=tag)):
            pass
    for caught in (from_plan, from_stream):
        refusal = refusal_of(caught.value)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
        assert (refusal.field, refusal.limits) == ("utterance.language", limits)
