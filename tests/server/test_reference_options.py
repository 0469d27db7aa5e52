"""How a clip becomes a prompt, over a real socket: chosen once, kept with the resource, heard, and told."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import numpy as np
import pytest
import soundfile

from oncue.v1 import audio_pb2, emotion_pb2, emotion_service_pb2, speech_service_pb2, voice_service_pb2
from oncue_engine.options import EngineOptions
from oncue_server.app import serving
from oncue_server.settings import Settings

from .asking import TEXT, Stubs, refusal_of, stubs_of, wav

TRIM = audio_pb2.ReferenceOptions(trim_silence=True)
PART_BYTES = 256 * 1024
KEEP = audio_pb2.ReferenceOptions(keep_level=True)


def quiet_clip(level: float = 0.004, before_s: float = 1.0, after_s: float = 0.5) -> bytes:
    """Two seconds of a soft buzz between silence, in six channels at 48 kHz."""
    buzz, rate_hz = soundfile.read(io.BytesIO(wav(2.0, rate_hz=48_000, level=1.0)))
    mono = np.concatenate((np.zeros(int(before_s * rate_hz)), level * buzz, np.zeros(int(after_s * rate_hz))))
    buffer = io.BytesIO()
    soundfile.write(buffer, np.tile(mono[:, None], (1, 6)), rate_hz, format="FLAC", subtype="PCM_24")
    return buffer.getvalue()


async def create(
    stubs: Stubs, id_: str, audio: bytes, options: audio_pb2.ReferenceOptions | None = None
) -> voice_service_pb2.CreateVoiceResponse:
    return await stubs.voices.CreateVoice(
        voice_service_pb2.CreateVoiceRequest(voice_id=id_, audio=audio, options=options)
    )


async def spoken(stubs: Stubs, voice: str) -> bytes:
    utterance = speech_service_pb2.Utterance(text=TEXT, voice=f"voices/{voice}", seed=1)
    return (await stubs.speech.Synthesize(speech_service_pb2.SynthesizeRequest(utterance=utterance))).audio


async def test_a_level_out_of_range_is_mended_and_told(stubs: Stubs) -> None:
    reference = (await create(stubs, "quiet-mended", quiet_clip())).voice.reference
    assert reference.quality.applied_gain_db > 6.0
    assert reference.quality.peak < 0.01  # of the clip as it came
    assert any("louder" in remark for remark in reference.quality.warnings)
    assert not reference.options.keep_level and reference.quality.trimmed_start.ToMilliseconds() == 0
    kept = (await create(stubs, "quiet-kept", quiet_clip(), KEEP)).voice.reference
    assert (kept.quality.applied_gain_db, kept.options) == (0.0, KEEP)
    assert kept.sha256 == reference.sha256
    assert await spoken(stubs, "quiet-mended") != await spoken(stubs, "quiet-kept")


async def test_a_sane_clip_is_taken_as_it_is(stubs: Stubs) -> None:
    made = await create(stubs, "sane-usual", wav(2.0, pitch_hz=133))
    assert made.prompt_encodes >= 1 and made.voice.reference.quality.applied_gain_db == 0.0
    # A message with nothing set is no choice: the same tensors serve.
    assert (await create(stubs, "sane-empty", wav(2.0, pitch_hz=133), audio_pb2.ReferenceOptions())).prompt_encodes == 0
    assert await spoken(stubs, "sane-usual") == await spoken(stubs, "sane-empty")


async def test_silence_is_cut_where_it_was_asked_for(stubs: Stubs) -> None:
    audio = quiet_clip(level=0.3)
    whole = (await create(stubs, "silence-whole", audio)).voice.reference
    cut = await create(stubs, "silence-cut", audio, TRIM)
    assert whole.quality.trimmed_start.ToMilliseconds() == 0
    assert cut.prompt_encodes >= 1, "another prompt than the whole clip"
    assert cut.voice.reference.options == TRIM
    assert cut.voice.reference.quality.trimmed_start.ToMilliseconds() == pytest.approx(900, abs=25)
    assert cut.voice.reference.quality.trimmed_end.ToMilliseconds() == pytest.approx(400, abs=25)
    assert cut.voice.reference.duration == whole.duration
    assert await spoken(stubs, "silence-whole") != await spoken(stubs, "silence-cut")


async def test_uploads_take_options_too(stubs: Stubs) -> None:
    audio = quiet_clip(level=0.3)

    async def voice_parts() -> AsyncIterator[voice_service_pb2.UploadVoiceRequest]:
        header = voice_service_pb2.UploadVoiceHeader(voice_id="uploaded-cut", options=TRIM)
        yield voice_service_pb2.UploadVoiceRequest(header=header)
        for begin in range(0, len(audio), PART_BYTES):
            yield voice_service_pb2.UploadVoiceRequest(data=audio[begin : begin + PART_BYTES])

    async def emotion_parts() -> AsyncIterator[emotion_service_pb2.UploadEmotionRequest]:
        header = emotion_service_pb2.UploadEmotionHeader(emotion_id="uploaded-cut", options=TRIM)
        yield emotion_service_pb2.UploadEmotionRequest(header=header)
        for begin in range(0, len(audio), PART_BYTES):
            yield emotion_service_pb2.UploadEmotionRequest(data=audio[begin : begin + PART_BYTES])

    voice = (await stubs.voices.UploadVoice(voice_parts())).voice
    emotion = (await stubs.emotions.UploadEmotion(emotion_parts())).emotion
    for reference in (voice.reference, emotion.reference):
        assert reference.options == TRIM
        assert reference.quality.trimmed_start.ToMilliseconds() == pytest.approx(900, abs=25)


async def test_an_emotion_keeps_its_options_and_is_heard_through_them(stubs: Stubs) -> None:
    audio = quiet_clip()

    async def made(id_: str, options: audio_pb2.ReferenceOptions | None) -> emotion_service_pb2.Emotion:
        source = emotion_pb2.EmotionSource(audio=audio)
        request = emotion_service_pb2.CreateEmotionRequest(emotion_id=id_, source=source, options=options)
        return (await stubs.emotions.CreateEmotion(request)).emotion

    both = audio_pb2.ReferenceOptions(trim_silence=True, keep_level=True)
    emotion = await made("options-both", both)
    read = emotion_service_pb2.GetEmotionRequest(name="emotions/options-both")
    assert (await stubs.emotions.GetEmotion(read)).emotion == emotion
    assert emotion.reference.options == both
    await made("options-none", None)

    async def acted(name: str) -> bytes:
        utterance = speech_service_pb2.Utterance(
            text=TEXT, seed=1, emotion=speech_service_pb2.UtteranceEmotion(name=f"emotions/{name}")
        )
        return (await stubs.speech.Synthesize(speech_service_pb2.SynthesizeRequest(utterance=utterance))).audio

    assert await acted("options-both") != await acted("options-none")


async def test_options_without_a_clip_are_refused(stubs: Stubs) -> None:
    source = emotion_pb2.EmotionSource(weights=emotion_pb2.EmotionWeights(happy=0.5))
    request = emotion_service_pb2.CreateEmotionRequest(emotion_id="no-clip", source=source, options=TRIM)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stubs.emotions.CreateEmotion(request)
    refusal = refusal_of(caught.value)
    assert (refusal.code, refusal.reason, refusal.field) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "REFERENCE_OPTIONS_WITHOUT_AUDIO",
        "options",
    )


async def test_options_survive_a_restart(tiny_model_dir: Path, tmp_path: Path) -> None:
    settings = Settings(
        model=str(tiny_model_dir), address="127.0.0.1:0", data_dir=tmp_path, engine=EngineOptions(threads=1)
    )
    heard, voices = [], []
    for start in range(2):
        async with serving(settings) as running, grpc.aio.insecure_channel(running.address) as channel:
            stubs = stubs_of(channel)
            if start == 0:
                await create(stubs, "restarted", quiet_clip(), TRIM)
            else:
                # Tensors that are lost are made again from the clip, and as it was asked for then.
                for path in (tmp_path / "conditioning").iterdir():
                    path.unlink()
            voices.append(
                (await stubs.voices.GetVoice(voice_service_pb2.GetVoiceRequest(name="voices/restarted"))).voice
            )
            heard.append(await spoken(stubs, "restarted"))
    assert voices[0] == voices[1] and voices[0].reference.options == TRIM
    assert heard[0] == heard[1]
