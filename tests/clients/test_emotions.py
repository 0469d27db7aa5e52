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
    assert not (await client.info()).emotion_from_words
    with pytest.raises(oncue.Unsupported):
        await client.emotions.create(new_id, oncue.Words("tired and a little annoyed"))


async def test_weights_of_a_model_without_them_are_refused(client: oncue.Client, new_id: str) -> None:
    assert (await client.info()).emotions == ()
    with pytest.raises(oncue.SpeechError) as caught:
        await client.emotions.create(new_id, {"happy": 0.8})
    assert caught.value.reason.startswith("EMOTION")


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
