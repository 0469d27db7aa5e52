"""IndexTTS-2.5 in its public layout, with random weights: loaded, told by its keys, and spoken by the engine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from oncue_engine.checkpoints.public_sizes_25 import public_sizes_25
from oncue_engine.checkpoints.random_folder import make_random_public, make_random_public_25
from oncue_engine.decoding.batch import prefix_rows
from oncue_engine.engine import Engine
from oncue_engine.errors import CheckpointError, InvalidRequest, Unsupported
from oncue_engine.frontend.audio import decode_reference
from oncue_engine.kinds.indextts2 import IndexTTS2
from oncue_engine.kinds.indextts2_prompts import IndexTTS2Voice
from oncue_engine.kinds.indextts25 import IndexTTS25
from oncue_engine.kinds.opening import open_model
from oncue_engine.model.codec import SemanticCodec
from oncue_engine.model.t2s import T2S
from oncue_engine.options import EngineOptions
from oncue_engine.requests import EmotionWeights, LengthPolicy, TargetSamples, TargetTokens
from oncue_engine.seams import three_ways
from oncue_engine.timing.frame_map import FrameMap

from ..conftest import Speaker, reference

TEXTS = {
    "en": "Please close the window before you leave.",
    "zh": "请把窗户关上，然后再出门。",
    "ja": "窓を閉めてから出かけてください。",
    "es": "Por favor, cierra la ventana antes de salir.",
    "ar": "أغلق النافذة قبل أن تغادر من فضلك.",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_random_public_25(tmp_path_factory.mktemp("public") / "newer", "small")


@pytest.fixture(scope="module")
def model(folder: Path) -> IndexTTS25:
    name, model = open_model(folder)
    assert name == "newer" and isinstance(model, IndexTTS25)
    return model


@pytest.fixture(scope="module")
def newer(folder: Path, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Speaker]:
    engine = Engine.load(folder, tmp_path_factory.mktemp("data"), EngineOptions(threads=1))
    yield Speaker(engine, reference(clip))
    engine.close()


def test_the_engine_says_what_it_is(newer: Speaker) -> None:
    info = newer.engine.info
    assert info.languages == ("zh", "en", "ja", "es", "ar")
    assert (info.native_rate_hz, info.token_rate_hz) == (22_050, 25)
    assert len(info.emotions) == 8 and info.emotion_from_clips
    assert info.duration_control == "constructed"


def test_the_public_size_has_as_many_tensors_and_parameters_as_the_released_one() -> None:
    config = public_sizes_25("full").parsed()
    with torch.device("meta"):
        t2s, codec = T2S(config.t2s), SemanticCodec(config.codec)
    assert len(t2s.state_dict()) == 456
    assert sum(parameter.numel() for parameter in t2s.parameters()) == pytest.approx(812e6, rel=1e-3)
    assert len(codec.state_dict()) == 243 - 2, "two of the file's are halves of a weight norm"
    assert config.t2s.conditioning_rows == 3 and t2s.text_embedding.num_embeddings == 60_510


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("rate_hz", [22_050, 16_000])
def test_samples_asked_are_samples_spoken_in_every_language(newer: Speaker, language: str, rate_hz: int) -> None:
    settings = {"language": language, "sample_rate_hz": rate_hz}
    plan = newer.engine.plan(newer.request(TEXTS[language], **settings))
    asked = plan.natural_samples * 3 // 4 + 1
    recorder = newer.say(TEXTS[language], length=TargetSamples(asked), **settings)
    assert len(recorder.samples) == recorder.finished().total_samples == asked
    assert np.abs(recorder.samples).max() > 0.01


SHORT = {"length": TargetTokens(20), "length_policy": LengthPolicy.FORCE, "seed": 3}


def test_the_language_is_heard_and_guessed(newer: Speaker) -> None:
    spoken = {language: newer.say("OK 25", language=language, **SHORT).samples for language in ("", "en", "ar")}
    assert np.array_equal(spoken[""], spoken["en"]), "nothing in it says another language"
    assert not np.array_equal(spoken["en"], spoken["ar"])
    guessed = newer.say(TEXTS["ja"], **SHORT).samples
    assert np.array_equal(guessed, newer.say(TEXTS["ja"], language="ja", **SHORT).samples)


def test_other_languages_are_refused(newer: Speaker) -> None:
    with pytest.raises(InvalidRequest) as caught:
        newer.engine.plan(newer.request("Bonjour", language="fr"))
    assert caught.value.reason == "LANGUAGE_UNSUPPORTED"
    assert caught.value.metadata == {"supported": "zh,en,ja,es,ar"}


def test_emotions_go_the_same_way_as_before(newer: Speaker, nano_folder: Path) -> None:
    happy, clip = EmotionWeights((0.8, 0, 0, 0, 0, 0, 0, 0)), reference(nano_folder / "voices" / "high.wav")
    plain = newer.say(TEXTS["en"], **SHORT).samples
    for emotion in (happy, clip):
        moved = newer.say(TEXTS["en"], emotion=emotion, **SHORT).samples
        assert moved.shape == plain.shape and not np.array_equal(moved, plain)
    none_of_it = newer.say(TEXTS["en"], emotion=happy, emotion_strength=0.0, **SHORT).samples
    assert np.array_equal(none_of_it, plain)


@pytest.mark.parametrize("factor", [Fraction(1, 2), Fraction(4, 5), Fraction(1), Fraction(5, 4), Fraction(2)])
@pytest.mark.parametrize("tokens", [1, 7, 33, 250])
def test_a_duration_factor_is_a_count_of_frames(factor: Fraction, tokens: int) -> None:
    """int(1.72 * 2N * factor) frames, each from the nearest of 2N rows (spec 9, 6.2): what lengths in samples give."""
    frames = int(Fraction(43, 25) * 2 * tokens * factor)
    spread = FrameMap(tokens, frames)
    assert spread.total_frames(tokens) == frames
    nearest = [frame * 2 * tokens // frames for frame in range(frames)]
    assert [spread.row_of(frame, 2) for frame in range(frames)] == nearest
    assert factor != 1 or spread.total_frames(tokens) == FrameMap.free(Fraction(86, 25)).total_frames(tokens)


def test_half_to_twice_the_natural_length(newer: Speaker) -> None:
    plan = newer.engine.plan(newer.request(TEXTS["en"], sample_rate_hz=22_050))
    assert plan.natural_samples == int(Fraction(43, 25) * 2 * plan.natural_tokens) * 256
    assert (plan.min_samples, plan.max_samples) == (ceil(plan.natural_samples / 2), plan.natural_samples * 2)
    for asked in (plan.min_samples, plan.max_samples):
        assert len(newer.say(TEXTS["en"], sample_rate_hz=22_050, length=TargetSamples(asked)).samples) == asked


@torch.inference_mode()
def test_prompts_are_one_row_of_the_style_and_features_as_they_are(model: IndexTTS25, clip: Path) -> None:
    networks = model.networks
    voice = model.prompts.encode_voice(decode_reference(clip))
    assert isinstance(voice, IndexTTS2Voice)
    assert voice.latents.shape == (1, networks.config.t2s.model_dim)
    assert torch.equal(voice.latents, networks.t2s.style_latents(voice.style[None])[0])
    ids = (model.filler_text_id, 90, 91)
    prefix = prefix_rows(networks.t2s, voice.latents, voice.own_emotion, 9, ids, 1)
    # One row, two of zeros, start, three pieces, stop, and the row that begins the codes.
    assert prefix.shape[0] == 1 + 2 + 5 + 1
    assert torch.allclose(prefix[0], voice.latents[0] + voice.own_emotion, atol=1e-6) and not prefix[1:3].any()
    with pytest.raises(ValueError, match="languages"):
        prefix_rows(networks.t2s, voice.latents, voice.own_emotion, 9, ids)


@pytest.mark.parametrize(
    "options",
    [EngineOptions(threads=1, precision="bfloat16", weights="bfloat16"), EngineOptions(decoding="reference")],
)
def test_other_precisions_and_decodings(folder: Path, clip: Path, tmp_path: Path, options: EngineOptions) -> None:
    engine = Engine.load(folder, tmp_path, options)
    try:
        assert len(Speaker(engine, reference(clip)).say(TEXTS["ja"], length=TargetSamples(40_001)).samples) == 40_001
    finally:
        engine.close()


def test_seams_and_pipelines_to_compare_with_do_not_speak_it(folder: Path, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsupported) as seams:
        three_ways(folder, clip, EngineOptions(threads=1))
    assert seams.value.reason == "SEAMS_UNSUPPORTED"
    with pytest.raises(Unsupported) as caught:
        Engine.load(folder, tmp_path, EngineOptions(threads=1, pipeline="naive"))
    assert caught.value.reason == "PIPELINE_UNSUPPORTED"


def test_an_older_folder_beside_it_stays_an_older_one(tmp_path: Path) -> None:
    older = make_random_public(tmp_path / "older", "small")
    # The file of the other version may lie there: the keys tell.
    (older / "codec.pth").write_bytes(b"")
    (older / "multilingual_zh_ja_yue_char_del.tiktoken").write_bytes(b"")
    assert isinstance(open_model(older)[1], IndexTTS2)


def _spoil_t2s(folder: Path, **changes: object) -> None:
    state = torch.load(folder / "gpt.pth", weights_only=True)
    for key, value in changes.items():
        name = key.replace("__", ".")
        if value is None:
            del state[name]
        else:
            state[name] = value
    torch.save(state, folder / "gpt.pth")


@pytest.mark.parametrize(
    ("spoil", "reason", "says"),
    [
        (lambda f: _spoil_t2s(f, speed_emb__weight=torch.zeros(2, 64)), "CHECKPOINT_FAMILY", "speed_emb"),
        (lambda f: _spoil_t2s(f, lang_embedding__weight=None), "CHECKPOINT_FAMILY", "lang_embedding"),
        (lambda f: _spoil_t2s(f, spk_emb_proj__bias=torch.zeros(3)), "CHECKPOINT_KEYS", "spk_emb_proj.bias"),
        (lambda f: (f / "codec.pth").unlink(), "CHECKPOINT_FILE_MISSING", "codec.pth"),
        (lambda f: torch.save({"model": {"down.weight": torch.zeros(1)}}, f / "codec.pth"), "CHECKPOINT_FAMILY", "up"),
        (lambda f: torch.save({"net": {}}, f / "codec.pth"), "CHECKPOINT_KEYS", "model is missing"),
        (lambda f: (f / "multilingual_zh_ja_yue_char_del.tiktoken").unlink(), "CHECKPOINT_FILE_MISSING", "tiktoken"),
        (lambda f: (f / "gpt.pth").unlink(), "CHECKPOINT_FILE_MISSING", "gpt.pth"),
        (lambda f: _spoil_config(f, "gpt", "number_text_tokens", 12_000), "CHECKPOINT_FAMILY", "number_text_tokens"),
        (lambda f: _spoil_config(f, "semantic_codec", "downsample_scale", 1), "CHECKPOINT_FAMILY", "downsample_scale"),
    ],
)
def test_files_that_do_not_fit_are_named(folder: Path, tmp_path: Path, spoil: object, reason: str, says: str) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    spoil(copy)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=says) as caught:
        open_model(copy)
    assert caught.value.reason == reason


def _spoil_config(folder: Path, section: str, field: str, value: object) -> None:
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config[section][field] = value
    path.write_text(yaml.safe_dump(config))


def test_a_vocabulary_larger_than_the_networks_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    ranks = copy / "multilingual_zh_ja_yue_char_del.tiktoken"
    ranks.write_bytes(ranks.read_bytes() + b"enp6eg== 1024\n")
    with pytest.raises(CheckpointError, match="the tokenizer has 2698 pieces, the T2S 2697"):
        open_model(copy)


def test_a_gpt_layer_in_the_file_is_left_aside_and_may_be_missing(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    whole = torch.load(copy / "s2mel.pth", weights_only=True)
    assert whole["net"].pop("gpt_layer")
    torch.save(whole, copy / "s2mel.pth")
    found = open_model(copy)[1]
    assert isinstance(found, IndexTTS25)
    assert not [key for key in found.networks.s2mel.state_dict() if key.startswith("gpt_layer")]
