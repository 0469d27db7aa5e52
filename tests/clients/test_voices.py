"""Voices through the SDK, on a real server."""

from __future__ import annotations

import hashlib
import wave
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import oncue
from oncue.references import INLINE_LIMIT_BYTES


async def test_create_keeps_what_was_sent(client: oncue.Client, clip: Path, new_id: str) -> None:
    voice = await client.voices.create(new_id, clip, display_name="Harbour", labels={"mood": "calm"})
    assert (voice.name, voice.id) == (f"voices/{new_id}", new_id)
    assert (voice.display_name, voice.labels, voice.built_in) == ("Harbour", {"mood": "calm"}, False)
    assert voice.reference.sha256 == hashlib.sha256(clip.read_bytes()).hexdigest()
    assert voice.reference.sample_rate_hz == 16000
    assert voice.reference.duration_s == pytest.approx(5.3255)
    assert voice.create_time is not None
    assert abs(datetime.now(UTC) - voice.create_time) < timedelta(minutes=5)
    assert await client.voices.get(new_id) == voice
    assert await client.voices.get(voice.name) == voice


async def test_create_takes_bytes_and_str_paths(client: oncue.Client, clip: Path, new_id: str) -> None:
    one = await client.voices.create(f"{new_id}-a", clip.read_bytes())
    two = await client.voices.create(f"{new_id}-b", str(clip))
    assert one.reference == two.reference


async def test_large_clips_go_in_parts(client: oncue.Client, clip: Path, new_id: str, tmp_path: Path) -> None:
    with wave.open(str(clip)) as read:
        samples = np.frombuffer(read.readframes(read.getnframes()), dtype="<i2")
    large = tmp_path / "large.wav"
    with wave.open(str(large), "wb") as write:
        write.setparams((2, 2, 48000, 0, "NONE", ""))
        write.writeframes(np.tile(np.repeat(samples, 6), 4).tobytes())
    assert large.stat().st_size > INLINE_LIMIT_BYTES
    voice = await client.voices.create(new_id, large)
    assert voice.reference.sha256 == hashlib.sha256(large.read_bytes()).hexdigest()
    assert voice.reference.duration_s == pytest.approx(4 * 5.3255, abs=0.01)


async def test_options_go_with_the_clip(client: oncue.Client, clip: Path, new_id: str, tmp_path: Path) -> None:
    with wave.open(str(clip)) as read:
        samples = np.frombuffer(read.readframes(read.getnframes()), dtype="<i2")
    quiet = tmp_path / "quiet.wav"
    with wave.open(str(quiet), "wb") as write:
        write.setparams((1, 2, 16000, 0, "NONE", ""))
        write.writeframes(np.concatenate((np.zeros(16_000, "<i2"), samples // 16)).tobytes())
    usual = await client.voices.create(f"{new_id}-a", quiet)
    assert usual.reference.applied_gain_db > 5 and usual.reference.trimmed_start_s == 0.0
    for make in (client.voices.create, client.voices.upload):
        made = await make(f"{new_id}-{make.__name__}", quiet, trim_silence=True, keep_level=True)
        assert (made.reference.trim_silence, made.reference.keep_level) == (True, True)
        assert made.reference.applied_gain_db == 0.0 and made.reference.trimmed_start_s > 0.8


async def test_upload_is_create_in_parts(client: oncue.Client, clip: Path, new_id: str) -> None:
    uploaded = await client.voices.upload(f"{new_id}-a", clip)
    created = await client.voices.create(f"{new_id}-b", clip)
    assert uploaded.reference == created.reference


async def test_list_walks_all_pages(client: oncue.Client, clip: Path, new_id: str) -> None:
    ids = {f"{new_id}-{i}" for i in range(3)}
    for voice_id in ids:
        await client.voices.create(voice_id, clip)
    found = [voice.id async for voice in client.voices.list(page_size=2)]
    assert ids <= set(found)
    assert len(found) == len(set(found))
    assert found == [voice.id async for voice in client.voices.list()]


async def test_update_changes_what_is_given(client: oncue.Client, clip: Path, new_id: str) -> None:
    before = await client.voices.create(new_id, clip, display_name="One", labels={"a": "1"})
    after = await client.voices.update(before, display_name="Two")
    assert (after.display_name, after.labels) == ("Two", {"a": "1"})
    assert after.etag != before.etag
    with pytest.raises(oncue.Conflict):
        await client.voices.update(before, display_name="Three")
    cleared = await client.voices.update(new_id, display_name="", labels={})
    assert (cleared.display_name, cleared.labels) == ("", {})


async def test_delete(client: oncue.Client, clip: Path, new_id: str) -> None:
    before = await client.voices.create(new_id, clip)
    await client.voices.update(new_id, display_name="changed")
    with pytest.raises(oncue.Conflict):
        await client.voices.delete(before)
    await client.voices.delete(new_id)
    with pytest.raises(oncue.NotFound) as caught:
        await client.voices.get(new_id)
    assert caught.value.reason == "VOICE_NOT_FOUND"


async def test_ids_are_taken_once(client: oncue.Client, clip: Path, new_id: str) -> None:
    await client.voices.create(new_id, clip)
    with pytest.raises(oncue.AlreadyExists):
        await client.voices.create(new_id, clip)


async def test_rejected_clips_name_field_and_limit(client: oncue.Client, new_id: str, tmp_path: Path) -> None:
    short = tmp_path / "short.wav"
    with oncue.WavWriter(short, 16000) as wav:
        wav.write((np.sin(np.arange(8000) * 0.1) * 9000).astype("<i2").tobytes())
    with pytest.raises(oncue.InvalidRequest) as caught:
        await client.voices.create(new_id, short)
    assert caught.value.reason == "REFERENCE_TOO_SHORT"
    assert caught.value.field == "audio"
    assert caught.value.metadata
    with pytest.raises(oncue.InvalidRequest) as caught:
        await client.voices.create(new_id, b"not audio at all")
    assert caught.value.reason == "REFERENCE_NOT_AUDIO"


async def test_missing_file_is_an_os_error(client: oncue.Client, new_id: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await client.voices.create(new_id, tmp_path / "none.wav")
