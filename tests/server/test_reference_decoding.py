"""`oncue serve --decoding reference`: it says so, and speaks through the same contract."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc.aio
import pytest

from oncue.v1 import server_service_pb2, speech_service_pb2
from oncue_server.app import RunningServer

from ..conftest import running_server
from .asking import TEXT, stream_request, stubs_of

PUBLIC = {"temperature": 0.8, "top_k": 30, "top_p": 0.8, "repetition_penalty": 10.0}


@pytest.fixture(scope="module")
def address(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    options = ("--decoding", "reference", "--beams", "2")
    with running_server(tiny_model_dir, tmp_path_factory.mktemp("reference"), *options) as address:
        yield address


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "oncue.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **env})


def sampling_of(started: speech_service_pb2.SynthesisStarted) -> dict[str, float]:
    return {name: pytest.approx(getattr(started.sampling, name), abs=1e-6) for name in PUBLIC}


async def test_it_says_which_decoding_it_has(address: str, server: RunningServer) -> None:
    told = json.loads((await asyncio.to_thread(run, "info", "--json", ONCUE_SERVER=address)).stdout)
    assert told["decoding"] == "reference"
    assert server.info.decoding == server_service_pb2.DECODING_STREAMING


async def test_it_speaks_exactly_and_tells_its_sampling(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stubs = stubs_of(channel)
        info = (await stubs.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())).info
        assert info.decoding == server_service_pb2.DECODING_REFERENCE
        said = []
        for _ in range(2):
            length = speech_service_pb2.Length(samples=28_001)
            request = stream_request(TEXT, length=length)
            events = [event async for event in stubs.speech.StreamSynthesize(request)]
            assert sampling_of(events[0].started) == PUBLIC
            assert events[-1].finished.total_samples == 28_001
            said.append(b"".join(event.audio.payload for event in events))
        assert said[0] == said[1] and len(said[0]) == 2 * 28_001


async def test_what_a_request_leaves_unset_is_public(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        sampling = speech_service_pb2.Sampling(repetition_penalty=2.5)
        stream = stubs_of(channel).speech.StreamSynthesize(stream_request("Hello.", sampling=sampling))
        started = (await stream.read()).started
        stream.cancel()
    assert sampling_of(started) == {**PUBLIC, "repetition_penalty": 2.5}
