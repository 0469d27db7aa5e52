"""Emotions through the SDK, on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

import oncue


async def test_emotion_from_a_clip(client: oncue.Client, clip: Path, new_id: str) -> None:
    emotion = await client.emotions.create(new_id, clip, labels={"a": "1"})
    assert emotion.name == f"emotions/{new_id}"
    assert emotion.reference is not None
    assert emotion.reference.sample_rate_hz == 16000
    assert (emotion.weights, emotion.words, emotion.labels) == (None, None, {"a": "1"})
    assert await client.emotions.get(new_id) == emotion


async def test_upload_is_create_in_parts(client: oncue.Client, clip: Path, new_id: str) -> None:
    uploaded = await client.emotions.upload(f"{new_id}-a", clip)
    created = await client.emotions.create(f"{new_id}-b", clip)
    assert uploaded.reference == created.reference


async def test_words_are_refused_by_a_model_without_them(client: oncue.Client, new_id: str) -> None:
    info = await client.info()
    assert info.emotion_from_clips and not info.emotion_from_words
    with pytest.raises(oncue.Unsupported):
        await client.emotions.create(new_id, oncue.Words("tired and a little annoyed"))


async def test_emotion_by_weights(client: oncue.Client, voice: oncue.Voice, new_id: str) -> None:
    emotions = (await client.info()).emotions
    assert emotions == ("happy", "angry", "sad", "afraid", "disgusted", "surprised", "calm")
    asked = {"happy": 0.75, "sad": 0.25}
    kept = await client.emotions.create(new_id, asked)
    assert kept.weights == {name: asked.get(name, 0.0) for name in oncue.EMOTION_NAMES}
    for emotion in (asked, kept):
        stream = client.stream("Hello.", voice=voice, emotion=emotion, seed=1, pacing=oncue.Pacing(realtime=False))
        samples = [chunk.samples async for chunk in stream]
        assert samples and stream.started is not None
        assert stream.started.emotion_weights == kept.weights
        plan = await client.plan("Hello.", voice=voice, emotion=emotion)
        assert plan.emotion_weights == kept.weights
    assert (await client.plan("Hello.", voice=voice)).emotion_weights is None


async def test_how_weights_are_mixed(client: oncue.Client, voice: oncue.Voice) -> None:
    asked, told = {"happy": 1.0, "calm": 1.0}, []
    for mixing in (
        oncue.EmotionMixing(),
        oncue.EmotionMixing(bias=True),
        oncue.EmotionMixing(bias=True, cap=True, random_style=True),
    ):
        stream = client.stream(
            "Hello.", voice=voice, emotion=asked, emotion_mixing=mixing, seed=1, pacing=oncue.Pacing(realtime=False)
        )
        assert [chunk async for chunk in stream] and stream.started is not None
        plan = await client.plan("Hello.", voice=voice, emotion=asked, emotion_mixing=mixing)
        assert plan.emotion_weights == stream.started.emotion_weights is not None
        told.append([plan.emotion_weights[name] for name in ("happy", "calm")])
    assert told[:2] == [[1.0, 1.0], [0.9375, 0.5625]]
    assert told[2] == pytest.approx([0.5, 0.3])
    with pytest.raises(ValueError, match="needs an emotion"):
        await client.plan("Hello.", voice=voice, emotion_mixing=oncue.EmotionMixing(cap=True))


async def test_weights_that_the_model_lacks_are_refused_with_what_it_has(client: oncue.Client, new_id: str) -> None:
    with pytest.raises(oncue.Unsupported) as caught:
        await client.emotions.create(new_id, {"happy": 0.8, "melancholic": 0.1})
    assert (caught.value.reason, caught.value.field) == ("EMOTION_UNSUPPORTED", "source.weights.melancholic")
    assert caught.value.metadata["supported"] == ",".join((await client.info()).emotions)


async def test_unknown_names_are_refused_before_they_are_sent(client: oncue.Client, new_id: str) -> None:
    with pytest.raises(oncue.InvalidRequest) as caught:
        await client.emotions.create(new_id, {"hungry": 0.8})
    assert caught.value.reason == "EMOTION_UNKNOWN"
    assert "melancholic" in caught.value.metadata["known"]


async def test_list_update_and_delete(client: oncue.Client, clip: Path, new_id: str) -> None:
    before = await client.emotions.create(new_id, clip)
    assert new_id in [emotion.id async for emotion in client.emotions.list(page_size=1)]
    after = await client.emotions.update(before, display_name="Two")
    assert after.display_name == "Two"
    with pytest.raises(oncue.Conflict):
        await client.emotions.delete(before)
    await client.emotions.delete(after)
    with pytest.raises(oncue.NotFound):
        await client.emotions.get(new_id)
