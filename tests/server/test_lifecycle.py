"""The server as a process: health, reflection, the ready line, draining, pacing of clients."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from oncue.v1 import server_service_pb2, speech_service_pb2
from oncue_engine.options import EngineOptions
from oncue_server.app import AddressInUse, RunningServer, serving
from oncue_server.settings import Settings

from .asking import LONG_TEXT, Stubs, refusal_of, stream_request, stubs_of

SERVICES = [f"oncue.v1.{name}Service" for name in ("Voice", "Emotion", "Speech", "Server")]


async def test_health_is_serving_for_the_whole_and_for_each_service(stubs: Stubs) -> None:
    health = health_pb2_grpc.HealthStub(stubs.channel)
    for name in ("", *SERVICES):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(health_pb2.HealthCheckRequest(service="oncue.v1.Nothing"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_the_contract(stubs: Stubs) -> None:
    reflected = reflection_pb2_grpc.ServerReflectionStub(stubs.channel)
    call = reflected.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    answer = await call.read()
    names = {service.name for service in answer.list_services_response.service}
    assert {*SERVICES, "grpc.health.v1.Health"} <= names
    call.cancel()


async def test_server_info_is_the_truth_about_the_engine(stubs: Stubs, server: RunningServer) -> None:
    info = (await stubs.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())).info
    engine = server.engine.info
    assert (info.model, info.fingerprint, info.native_rate_hz) == (engine.model, engine.fingerprint, 16000)
    assert list(info.languages) == ["en"] and list(info.emotions) == list(engine.emotions)
    assert info.duration_control == server_service_pb2.DURATION_CONTROL_TRAINED
    assert info.default_voice == "voices/low"
    limits = info.limits
    assert limits.max_text_chars == engine.max_text_chars > 0
    assert limits.max_inline_audio_bytes == 3 * 1024 * 1024 and limits.max_upload_bytes == 64 * 1024 * 1024
    assert limits.max_upload_part_bytes == 256 * 1024 and limits.max_unary_response_bytes == 4 * 1024 * 1024
    assert limits.min_reference_duration.seconds == 1
    assert (limits.min_sample_rate_hz, limits.max_sample_rate_hz) == (8000, 48000)
    assert len(limits.stream_encodings) == 2 and len(limits.unary_encodings) == 3


async def test_an_unknown_method_is_unimplemented(stubs: Stubs) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stubs.channel.unary_unary("/oncue.v1.SpeechService/Nothing")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_draining_finishes_streams_and_refuses_new_calls(tiny_model_dir: Path, tmp_path: Path) -> None:
    settings = Settings(
        model=str(tiny_model_dir),
        address="127.0.0.1:0",
        data_dir=tmp_path,
        requests_per_second=0,
        drain_s=60,
        engine=EngineOptions(threads=1),
    )
    async with serving(settings) as running, grpc.aio.insecure_channel(running.address) as channel:
        stubs = stubs_of(channel)
        request = stream_request(LONG_TEXT, unpaced=False)
        request.pacing.max_lead_samples = 8000
        stream = stubs.speech.StreamSynthesize(request)
        events = [await stream.read(), await stream.read()]
        assert events[1].HasField("audio")
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICES[2]))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        draining = asyncio.create_task(running.drain())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        async with grpc.aio.insecure_channel(running.address) as late:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stubs_of(late).server.GetServerInfo(server_service_pb2.GetServerInfoRequest(), timeout=20)
            assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        while (event := await stream.read()) is not grpc.aio.EOF:
            events.append(event)
        assert events[-1].HasField("finished")
        assert await stream.code() is grpc.StatusCode.OK
        await draining


async def test_calls_beyond_the_waiting_room_are_refused_with_a_time_to_come_back(
    tiny_model_dir: Path, tmp_path: Path
) -> None:
    settings = Settings(
        model=str(tiny_model_dir),
        address="127.0.0.1:0",
        data_dir=tmp_path,
        requests_per_second=0.2,
        max_waiting_per_client=1,
        drain_s=0,
        engine=EngineOptions(threads=1),
    )
    async with serving(settings) as running, grpc.aio.insecure_channel(running.address) as channel:
        stubs = stubs_of(channel)

        async def ask() -> str:
            await stubs.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())
            return "ok"

        assert await ask() == "ok"
        calls = [asyncio.create_task(ask()) for _ in range(4)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        refused = [refusal_of(outcome) for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
        assert len(refused) == 3 and outcomes.count("ok") == 1
        for refusal in refused:
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
            assert refusal.retry_s is not None and refusal.retry_s > 0
        health = health_pb2_grpc.HealthStub(channel)
        await health.Check(health_pb2.HealthCheckRequest(), timeout=2)


async def test_two_servers_do_not_share_an_address(server: RunningServer, tiny_model_dir: Path, tmp_path: Path) -> None:
    settings = Settings(
        model=str(tiny_model_dir), address=server.address, data_dir=tmp_path, engine=EngineOptions(threads=1)
    )
    with pytest.raises(AddressInUse):
        async with serving(settings):
            pass


async def start(*options: str) -> tuple[asyncio.subprocess.Process, dict[str, object]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "oncue.cli", "serve", "--address", "127.0.0.1:0", *options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    return process, json.loads(await process.stdout.readline())


@pytest.mark.parametrize("how", ["SIGTERM", "stdin"])
async def test_serve_says_where_it_listens_and_ends_when_asked(tiny_model_dir: Path, tmp_path: Path, how: str) -> None:
    options = ["--model", str(tiny_model_dir), "--data", str(tmp_path), "--threads", "1"]
    process, ready = await start(*options, *(["--until-stdin-closes"] if how == "stdin" else []))
    try:
        assert ready["model"] == tiny_model_dir.name and ready["native_rate_hz"] == 16000
        async with grpc.aio.insecure_channel(str(ready["address"])) as channel:
            utterance = speech_service_pb2.Utterance(text="Yes.", seed=1)
            answer = await stubs_of(channel).speech.Synthesize(
                speech_service_pb2.SynthesizeRequest(utterance=utterance)
            )
            assert answer.audio
        if how == "stdin":
            assert process.stdin is not None
            process.stdin.close()
        else:
            process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_serve_speaks_through_a_pipeline_to_compare_with(tiny_model_dir: Path, tmp_path: Path) -> None:
    options = ["--model", str(tiny_model_dir), "--data", str(tmp_path), "--threads", "1", "--pipeline", "naive"]
    process, ready = await start(*options)
    try:
        async with grpc.aio.insecure_channel(str(ready["address"])) as channel:
            stream = stubs_of(channel).speech.StreamSynthesize(stream_request(LONG_TEXT))
            events = [event async for event in stream]
        finished = events[-1].finished
        # Nothing was sent before the last token was drawn, in the public pipeline's 25 flow steps.
        assert {e.audio.codes_generated for e in events if e.HasField("audio")} == {finished.total_codes}
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_serve_with_a_folder_that_is_no_model_says_so(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "oncue.cli", "serve", "--address", "127.0.0.1:0"),
        *("--model", str(tmp_path), "--data", str(tmp_path / "data")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode == 1
    assert out == b""
    assert b"config.yaml" in err and b"Traceback" not in err
