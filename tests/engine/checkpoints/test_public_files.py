"""The files of a public model, wherever the reference project's commands and hub clients put them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from oncue_engine.checkpoints.hub_cache import default_cache
from oncue_engine.checkpoints.public_files import (
    OTHER_REPOSITORIES,
    find_public_files,
    is_public_folder,
)
from oncue_engine.errors import CheckpointError


@pytest.fixture
def folder(small_public_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_public_dir, tmp_path / "public"))


def _snapshot(cache: Path, repository: str) -> Path:
    return next((cache / f"models--{repository.replace('/', '--')}" / "snapshots").iterdir())


def test_a_downloaded_folder_works_as_it_is(folder: Path) -> None:
    files = find_public_files(folder)
    assert files.gpt == folder / "gpt.pth" and files.pieces == folder / "bpe.model"
    cache = folder / "hf_cache"
    assert files.codec == _snapshot(cache, "amphion/MaskGCT") / "semantic_codec" / "model.safetensors"
    assert files.encoder_config == files.encoder.with_name("config.json")
    assert all(path.is_file() for path in files.sources()) and len(files.sources()) == 13
    assert files.glossary is None


def test_other_repositories_may_lie_in_another_cache_or_beside(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "elsewhere" / "hub"
    (folder / "hf_cache").rename(tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "moved").rename(cache)
    assert find_public_files(folder, (cache,)).codec.is_relative_to(cache)
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    assert find_public_files(folder).codec.is_relative_to(cache)
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv("HF_HOME", str(cache.parent))
    assert default_cache() == cache
    assert find_public_files(folder).vocoder.is_relative_to(cache)
    for repository in OTHER_REPOSITORIES:
        shutil.copytree(_snapshot(cache, repository), folder / repository.split("/")[1])
    files = find_public_files(folder, (tmp_path / "nothing",))
    assert files.style_encoder == folder / "campplus" / "campplus_cn_common.bin"
    assert files.vocoder_config == folder / "bigvgan_v2_22khz_80band_256x" / "config.json"


def test_other_repositories_may_have_short_names(folder: Path, tmp_path: Path) -> None:
    old = (folder / "hf_cache").rename(tmp_path / "moved")
    cache = folder / "hf_cache"
    shutil.copytree(_snapshot(old, "facebook/w2v-bert-2.0"), cache / "w2v-bert-2.0")
    shutil.copytree(_snapshot(old, "nvidia/bigvgan_v2_22khz_80band_256x"), cache / "bigvgan")
    codec = _snapshot(old, "amphion/MaskGCT") / "semantic_codec" / "model.safetensors"
    shutil.copyfile(codec, cache / "semantic_codec_model.safetensors")
    shutil.copy(_snapshot(old, "funasr/campplus") / "campplus_cn_common.bin", cache)
    files = find_public_files(folder, (tmp_path / "nothing",))
    assert files.codec == cache / "semantic_codec_model.safetensors"
    assert files.encoder_config == cache / "w2v-bert-2.0" / "config.json"
    assert len(files.sources()) == 13


def test_a_snapshot_that_is_named_goes_before_all_others(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(_snapshot(folder / "hf_cache", "funasr/campplus"), tmp_path / "other"))
    files = find_public_files(folder, snapshots={"funasr/campplus": other})
    assert files.style_encoder == other / "campplus_cn_common.bin"
    (other / "campplus_cn_common.bin").unlink()
    with pytest.raises(CheckpointError, match=r"campplus_cn_common\.bin of funasr/campplus"):
        find_public_files(folder, snapshots={"funasr/campplus": other})


def test_of_several_snapshots_the_whole_one_that_main_names(folder: Path) -> None:
    good = _snapshot(folder / "hf_cache", "funasr/campplus")
    other = Path(shutil.copytree(good, good.with_name("f" * 40)))
    assert find_public_files(folder).style_encoder.parent == good
    (good.parents[1] / "refs" / "main").write_text("f" * 40)
    assert find_public_files(folder).style_encoder.parent == other
    assert find_public_files(folder, snapshots={"funasr/campplus": good}).style_encoder.parent == good
    (other / "campplus_cn_common.bin").unlink()
    assert find_public_files(folder).style_encoder.parent == good


def test_config_and_weights_of_a_vocoder_come_from_one_revision(folder: Path) -> None:
    good = _snapshot(folder / "hf_cache", "nvidia/bigvgan_v2_22khz_80band_256x")
    half = Path(shutil.copytree(good, good.with_name("e" * 40)))
    (good / "config.json").unlink()
    (half / "bigvgan_generator.pt").unlink()
    with pytest.raises(CheckpointError, match=r"bigvgan_generator\.pt of nvidia"):
        find_public_files(folder)


def test_one_error_names_all_that_is_missing_and_where_it_was_looked_for(folder: Path, tmp_path: Path) -> None:
    for name in ("s2mel.pth", "feat2.pt"):
        (folder / name).unlink()
    shutil.rmtree(folder / "hf_cache" / "models--facebook--w2v-bert-2.0")
    with pytest.raises(CheckpointError) as caught:
        find_public_files(folder, (tmp_path / "cache",))
    said = str(caught.value)
    assert caught.value.reason == "CHECKPOINT_FILE_MISSING"
    for wanted in ("s2mel.pth", "feat2.pt", "model.safetensors of facebook/w2v-bert-2.0", str(tmp_path / "cache")):
        assert wanted in said
    assert str(folder / "hf_cache") in said and str(folder / "w2v-bert-2.0") in said
    assert "gpt.pth" not in said and "campplus" not in said


def test_config_may_name_fine_tuned_weights_but_not_a_path_of_another_machine(folder: Path) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    shutil.copy(folder / "gpt.pth", folder / "gpt_tuned.pth")
    config |= {"gpt_checkpoint": "gpt_tuned.pth", "s2mel_checkpoint": "/mnt/somewhere/else/epoch_9.pth"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    files = find_public_files(folder)
    assert files.gpt == folder / "gpt_tuned.pth" and files.s2mel == folder / "s2mel.pth"


def test_what_is_optional_is_found_where_it_is(folder: Path) -> None:
    (folder / "glossary.yaml").write_text("GPU: G P U\n")
    (folder / "qwen0.6bemo4-merge").mkdir(exist_ok=True)
    files = find_public_files(folder)
    assert files.glossary == folder / "glossary.yaml" and files.emotion_model == folder / "qwen0.6bemo4-merge"


def test_a_public_folder_is_told_from_ours(small_public_dir: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    assert is_public_folder(small_public_dir)
    assert not is_public_folder(tiny_model_dir) and not is_public_folder(tmp_path)
