"""The table of public models, and the names that stand for them."""

from __future__ import annotations

import pytest

from oncue_engine.checkpoints.repositories import PUBLIC_MODELS, parse_hub_name
from oncue_engine.errors import CheckpointError

from ...hub_case import INDEXTTS_2


def test_names_are_read_and_written_alike() -> None:
    name = "hub:IndexTeam/IndexTTS-2@v2,amphion/MaskGCT@main"
    assert parse_hub_name(name).revisions == {"IndexTeam/IndexTTS-2": "v2", "amphion/MaskGCT": "main"}
    assert str(parse_hub_name(name)) == name
    assert str(parse_hub_name("hub:IndexTeam/IndexTTS-2.5")) == "hub:IndexTeam/IndexTTS-2.5"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("hub:IndexTeam/IndexTTS", "MODEL_UNKNOWN"),
        ("hub:", "MODEL_UNKNOWN"),
        ("hub:IndexTeam/IndexTTS-2,amphion/MaskGCT", "HUB_NAME_INVALID"),
        ("hub:IndexTeam/IndexTTS-2.5,amphion/MaskGCT@main", "HUB_NAME_INVALID"),
    ],
)
def test_names_that_are_none(name: str, reason: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        parse_hub_name(name)
    assert caught.value.reason == reason


def test_the_table_is_whole() -> None:
    named = {one.name: one for model in PUBLIC_MODELS for one in model.repositories}
    assert {one.name for one in INDEXTTS_2.repositories} == {
        "IndexTeam/IndexTTS-2",
        "facebook/w2v-bert-2.0",
        "amphion/MaskGCT",
        "funasr/campplus",
        "nvidia/bigvgan_v2_22khz_80band_256x",
    }
    for repository in named.values():
        assert len(bytes.fromhex(repository.revision)) == 20
        for file in repository.files:
            assert len(file.sha256) in (0, 64)
            # A pickle runs what it says before anyone can look at it, so its digest is our own where it is large.
            assert file.sha256 or file.size_bytes < 12_000_000
