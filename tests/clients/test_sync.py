"""The client without `async`, in a program of its own: gRPC's asyncio side wants one event loop in a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import pathlib
import sys
import oncue

address, path, voice_id = sys.argv[1:]
with oncue.connect_sync(address) as client:
    assert client.info().native_rate_hz == 16000
    assert client.stats().uptime_s > 0
    voice = client.voices.create(voice_id, path)
    assert voice_id in [found.id for found in client.voices.list(page_size=1)]
    assert client.plan("Good morning.", voice=voice).natural_samples > 0
    with client.stream("Good morning.", voice=voice, seed=4, pacing=oncue.Pacing(realtime=False)) as stream:
        streamed = b"".join(chunk.payload for chunk in stream)
    assert stream.stats.total_samples * 2 == len(streamed)
    assert client.synthesize("Good morning.", voice=voice, seed=4).payload == streamed
    stream = client.stream("Good morning. " * 20, voice=voice, priority="high", start_deadline_s=60.0)
    for chunk in stream:
        stream.report_playhead(chunk.first_sample)
        break
    assert (stream.started.priority, stream.started.start_deadline_s) == ("high", 60.0)
    assert client.synthesize("Good morning.", voice=voice, priority="background").stats.fewest_flow_steps >= 1
    try:
        client.synthesize("", voice=voice)
    except oncue.InvalidRequest as error:
        assert error.reason == "TEXT_EMPTY", error.reason
    else:
        raise AssertionError("an empty text was spoken")
    emotion = client.emotions.create(voice_id, pathlib.Path(path))
    client.emotions.delete(emotion)
    client.voices.delete(voice)
print("done")
"""


def test_sync_client(server_address: str, clip: Path, new_id: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, server_address, str(clip), new_id],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)
