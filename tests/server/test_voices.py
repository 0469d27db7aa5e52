"""Voices and emotions over a real socket: registered once, found again, changed, removed."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from oncue.v1 import emotion_pb2, emotion_service_pb2, speech_service_pb2, voice_service_pb2
from oncue_engine.options import EngineOptions
from oncue_server.app import RunningServer, serving
from oncue_server.builtin import voices_folder
from oncue_server.settings import Settings

from .asking import TEXT, Stubs, stream_request, stubs_of, until, wav

PART_BYTES = 256 * 1024


async def create(stubs: Stubs, id_: str, audio: bytes, **voice: object) -> voice_service_pb2.CreateVoiceResponse:
    return await stubs.voices.CreateVoice(
        voice_service_pb2.CreateVoiceRequest(voice_id=id_, voice=voice_service_pb2.Voice(**voice), audio=audio)
    )


async def get(stubs: Stubs, id_: str) -> voice_service_pb2.Voice:
    return (await stubs.voices.GetVoice(voice_service_pb2.GetVoiceRequest(name=f"voices/{id_}"))).voice


async def encodes_of(stubs: Stubs, **utterance: object) -> int:
    events = [event async for event in stubs.speech.StreamSynthesize(stream_request(**utterance))]
    return events[-1].finished.prompt_encodes


async def test_a_voice_keeps_what_is_known_of_its_clip(stubs: Stubs) -> None:
    audio = wav(2.5, rate_hz=22050)
    made = await create(stubs, "kept-voice", audio, display_name="Ann", labels={"game": "chess"})
    voice = made.voice
    assert made.prompt_encodes >= 1
    assert (voice.name, voice.display_name, dict(voice.labels)) == ("voices/kept-voice", "Ann", {"game": "chess"})
    assert (voice.reference.sha256, voice.reference.size_bytes) == (hashlib.sha256(audio).hexdigest(), len(audio))
    assert voice.reference.sample_rate_hz == 22050
    assert voice.reference.duration.ToMilliseconds() == 2500
    assert -60 < voice.reference.loudness_dbfs < 0
    assert 0 < voice.reference.quality.peak < 1
    assert voice.reference.quality.clipped_share == 0
    assert any("short" in warning for warning in voice.reference.quality.warnings)
    assert voice.create_time.seconds > 0 and voice.create_time == voice.update_time
    assert not voice.built_in
    assert await get(stubs, "kept-voice") == voice


async def test_output_only_fields_of_a_request_are_ignored(stubs: Stubs) -> None:
    made = await create(stubs, "own-name", wav(1.5), name="voices/other", built_in=True, etag="mine")
    assert made.voice.name == "voices/own-name"
    assert not made.voice.built_in and made.voice.etag != "mine"


async def test_a_registered_voice_runs_no_prompt_encoder_again(stubs: Stubs, server: RunningServer) -> None:
    audio = wav(2.0, pitch_hz=177)
    assert (await create(stubs, "once-only", audio)).prompt_encodes >= 1
    before = server.engine.prompt_encodes
    assert await encodes_of(stubs, voice="voices/once-only") == 0
    assert await encodes_of(stubs, voice="voices/once-only") == 0
    assert (await create(stubs, "once-only-2", audio)).prompt_encodes == 0
    assert server.engine.prompt_encodes == before


async def test_voices_differ(stubs: Stubs) -> None:
    async def spoken(voice: str) -> bytes:
        utterance = speech_service_pb2.Utterance(text=TEXT, voice=voice, seed=1)
        return (await stubs.speech.Synthesize(speech_service_pb2.SynthesizeRequest(utterance=utterance))).audio

    assert await spoken("voices/low") == await spoken("")
    assert await spoken("voices/low") != await spoken("voices/high")


async def test_a_large_clip_is_uploaded_in_parts(stubs: Stubs) -> None:
    audio = wav(110.0, rate_hz=32000)
    assert len(audio) > 4 * 1024 * 1024

    async def requests() -> AsyncIterator[voice_service_pb2.UploadVoiceRequest]:
        header = voice_service_pb2.UploadVoiceHeader(
            voice_id="large-clip", voice=voice_service_pb2.Voice(display_name="Long")
        )
        yield voice_service_pb2.UploadVoiceRequest(header=header)
        for begin in range(0, len(audio), PART_BYTES):
            yield voice_service_pb2.UploadVoiceRequest(data=audio[begin : begin + PART_BYTES])

    made = await stubs.voices.UploadVoice(requests())
    assert made.voice.reference.sha256 == hashlib.sha256(audio).hexdigest()
    assert (made.voice.display_name, made.voice.reference.size_bytes) == ("Long", len(audio))
    assert await get(stubs, "large-clip") == made.voice


async def test_an_upload_that_breaks_off_leaves_nothing(stubs: Stubs, server_data: Path) -> None:
    call = stubs.voices.UploadVoice()
    header = voice_service_pb2.UploadVoiceHeader(voice_id="broken-off")
    await call.write(voice_service_pb2.UploadVoiceRequest(header=header))
    await call.write(voice_service_pb2.UploadVoiceRequest(data=wav(2.0)))
    staged = server_data / "voices"
    await until(lambda: any(staged.glob(".staging-*/reference")), 30)
    call.cancel()
    await until(lambda: not any(staged.glob(".staging-*")), 30)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get(stubs, "broken-off")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_pages_list_built_in_voices_first_and_everything_once(stubs: Stubs) -> None:
    for id_ in ("page-b", "page-a", "page-c"):
        await create(stubs, id_, wav(1.5))
    seen: list[voice_service_pb2.Voice] = []
    token = ""
    while True:
        page = await stubs.voices.ListVoices(voice_service_pb2.ListVoicesRequest(page_size=2, page_token=token))
        assert 1 <= len(page.voices) <= 2
        seen += page.voices
        token = page.next_page_token
        if not token:
            break
    names = [voice.name for voice in seen]
    assert names[:2] == ["voices/low", "voices/high"] and seen[0].built_in and seen[1].built_in
    assert names[2:] == sorted(names[2:]) and not any(voice.built_in for voice in seen[2:])
    assert {"voices/page-a", "voices/page-b", "voices/page-c"} <= set(names)
    whole = await stubs.voices.ListVoices(voice_service_pb2.ListVoicesRequest())
    assert list(whole.voices) == seen and not whole.next_page_token


async def test_an_update_changes_what_the_mask_names(stubs: Stubs) -> None:
    old = (await create(stubs, "updated", wav(1.5), display_name="Old", labels={"a": "1"})).voice
    asked = voice_service_pb2.Voice(name=old.name, display_name="New", labels={"b": "2"}, etag=old.etag)
    answer = await stubs.voices.UpdateVoice(
        voice_service_pb2.UpdateVoiceRequest(voice=asked, update_mask=FieldMask(paths=["display_name"]))
    )
    new = answer.voice
    assert (new.display_name, dict(new.labels)) == ("New", {"a": "1"})
    assert new.etag != old.etag and new.reference == old.reference and new.create_time == old.create_time
    assert await get(stubs, "updated") == new


async def test_a_removed_voice_is_gone_and_its_id_is_free(stubs: Stubs) -> None:
    voice = (await create(stubs, "removed", wav(1.5))).voice
    await stubs.voices.DeleteVoice(voice_service_pb2.DeleteVoiceRequest(name=voice.name, etag=voice.etag))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get(stubs, "removed")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    await create(stubs, "removed", wav(1.5))


async def test_emotions_live_the_same_life(stubs: Stubs) -> None:
    request = emotion_service_pb2.CreateEmotionRequest(
        emotion_id="tense", source=emotion_pb2.EmotionSource(audio=wav(2.0, pitch_hz=260))
    )
    made = await stubs.emotions.CreateEmotion(request)
    assert made.prompt_encodes >= 1
    assert made.emotion.WhichOneof("source") == "reference"
    emotion = speech_service_pb2.UtteranceEmotion(name="emotions/tense")
    assert await encodes_of(stubs, emotion=emotion) == 0
    listed = (await stubs.emotions.ListEmotions(emotion_service_pb2.ListEmotionsRequest())).emotions
    assert made.emotion in listed
    answer = await stubs.emotions.UpdateEmotion(
        emotion_service_pb2.UpdateEmotionRequest(
            emotion=emotion_service_pb2.Emotion(name="emotions/tense", labels={"a": "1"}),
            update_mask=FieldMask(paths=["labels"]),
        )
    )
    assert dict(answer.emotion.labels) == {"a": "1"}
    got = await stubs.emotions.GetEmotion(emotion_service_pb2.GetEmotionRequest(name="emotions/tense"))
    assert got.emotion == answer.emotion
    await stubs.emotions.DeleteEmotion(emotion_service_pb2.DeleteEmotionRequest(name="emotions/tense"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await encodes_of(stubs, emotion=emotion)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_an_emotion_is_uploaded_in_parts(stubs: Stubs) -> None:
    audio = wav(3.0, pitch_hz=300)

    async def requests() -> AsyncIterator[emotion_service_pb2.UploadEmotionRequest]:
        yield emotion_service_pb2.UploadEmotionRequest(
            header=emotion_service_pb2.UploadEmotionHeader(emotion_id="uploaded")
        )
        for begin in range(0, len(audio), 1000):
            yield emotion_service_pb2.UploadEmotionRequest(data=audio[begin : begin + 1000])

    made = await stubs.emotions.UploadEmotion(requests())
    assert made.emotion.reference.sha256 == hashlib.sha256(audio).hexdigest()


async def test_a_restart_keeps_voices_emotions_and_what_was_prepared(tiny_model_dir: Path, tmp_path: Path) -> None:
    settings = Settings(
        model=str(tiny_model_dir),
        address="127.0.0.1:0",
        data_dir=tmp_path,
        requests_per_second=0,
        engine=EngineOptions(threads=1),
    )
    emotion = speech_service_pb2.UtteranceEmotion(name="emotions/tense")
    asked = stream_request(voice="voices/ann", emotion=emotion)
    spoken: list[bytes] = []
    encodes: list[int] = []
    for run in range(2):
        async with serving(settings) as running, grpc.aio.insecure_channel(running.address) as channel:
            stubs = stubs_of(channel)
            if run == 0:
                await create(stubs, "ann", wav(2.0))
                await stubs.emotions.CreateEmotion(
                    emotion_service_pb2.CreateEmotionRequest(
                        emotion_id="tense", source=emotion_pb2.EmotionSource(audio=wav(2.0, pitch_hz=260))
                    )
                )
            events = [event async for event in stubs.speech.StreamSynthesize(asked)]
            spoken.append(b"".join(event.audio.payload for event in events))
            encodes.append(events[-1].finished.prompt_encodes)
            assert running.engine.prompt_encodes == (2 if run == 0 else 0)
    assert encodes == [0, 0]
    assert spoken[0] == spoken[1]


def test_a_model_without_voices_of_its_own_speaks_with_those_of_the_package(
    tiny_model_dir: Path, tmp_path: Path
) -> None:
    assert voices_folder(str(tiny_model_dir)) == tiny_model_dir / "voices"
    shared = voices_folder("nano")
    assert (shared / "voices.json").exists()
    assert voices_folder(str(tmp_path)) == voices_folder("random:indextts2") == shared
