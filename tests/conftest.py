"""Shared by all tests: a tiny model with random weights, and a server that has loaded it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# Read when huggingface_hub is imported: its own tools would ask the public hub before a hub of the tests.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

CLIPS = Path(__file__).parent / "clips"


@pytest.fixture(scope="session")
def clip() -> Path:
    """A WAV of 5.3 s of speech: 16 kHz, mono, by a speaker that no training item uses."""
    return CLIPS / "held-05.wav"


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder in the embedded model's layout, a few hundred kilobytes of random weights."""
    from oncue_engine.checkpoints.random_nano import make_random_nano

    return make_random_nano(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session", autouse=True)
def own_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests convert lands beside the tests, and no test finds files in the hub cache of who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONCUE_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
        yield


@pytest.fixture(scope="session")
def small_public_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every file of a public IndexTTS-2, its networks very small and random: 7 MB. Not to be written to."""
    from oncue_engine.checkpoints.random_folder import make_random_public

    return make_random_public(tmp_path_factory.mktemp("models") / "small-public", "small")


@pytest.fixture(scope="session")
def tiny_words_model_dir(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a student of random weights: each text has emotion weights of its own."""
    folder = Path(shutil.copytree(tiny_model_dir, tmp_path_factory.mktemp("models") / "tiny-words"))
    make_random_student(folder / "emotion_words")
    return folder


@pytest.fixture(scope="session")
def speed_rows_model_dir(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with two speed rows in place of the tied one, as the public weights have them."""
    import torch
    import yaml
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny_model_dir, tmp_path_factory.mktemp("models") / "tiny-speed-rows"))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    del config["oncue"]["duration_row"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    weights = load_file(folder / "t2s.safetensors")
    width = weights["mel_embedding.weight"].shape[1]
    rows = 0.02 * torch.randn(2, width, generator=torch.Generator().manual_seed(0))
    save_file(weights | {"speed_emb.weight": rows.half()}, folder / "t2s.safetensors")
    return folder


TAUGHT = {
    "tired, but proud": '{"高兴": 0.3, "低落": 0.7, "自然": 0.1}',
    "gloomy": '{"悲伤": 0.75, "低落": 0.25}',
    "rubbish": "I will not say.",
}
"""What the small Qwen says of a text."""


@pytest.fixture(scope="session")
def taught_qwen_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the public model has it for words, with a small Qwen that has learned TAUGHT."""
    from .qwen import write_taught_qwen

    return write_taught_qwen(tmp_path_factory.mktemp("models") / "qwen", TAUGHT)


@pytest.fixture(scope="session")
def public_words_model_dir(
    small_public_dir: Path, taught_qwen_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The small public model with that Qwen in place of its random one."""
    folder = Path(shutil.copytree(small_public_dir, tmp_path_factory.mktemp("models") / "public-words"))
    shutil.rmtree(folder / "qwen0.6bemo4-merge")
    shutil.copytree(taught_qwen_dir, folder / "qwen0.6bemo4-merge")
    return folder


def make_random_student(folder: Path, seed: int = 0) -> Path:
    """A folder that turns words into emotion weights: the real networks, very small, never trained."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from oncue_engine.words.student import CONFIG_FILE, EMOTIONS, READING_FILE, TOKENIZER_FILE, WEIGHTS_FILE

    folder.mkdir(parents=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.save(str(folder / TOKENIZER_FILE))
    config = Qwen3Config(
        vocab_size=len(letters),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
    )
    config.to_json_file(folder / CONFIG_FILE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = Qwen3ForCausalLM(config).state_dict()
    # Fresh attention hardly attends, and fresh embeddings hardly tell one text from another.
    louder = {name: value * (20.0 if value.dim() == 2 else 1.0) for name, value in state.items()}
    save_file({name: value for name, value in louder.items() if name != "lm_head.weight"}, folder / WEIGHTS_FILE)
    reading = {"slot": " :", "answers": {name: 40 + k for k, name in enumerate(EMOTIONS)}, "max_tokens": 64}
    (folder / READING_FILE).write_text(json.dumps(reading))
    return folder


@contextmanager
def running_server(model: Path, data_dir: Path, *options: str) -> Iterator[str]:
    """The address of `oncue serve` with `options` in a process of its own. Its stderr stays with the test's."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "oncue.cli", "serve", "--address", "127.0.0.1:0"),
            *("--model", str(model), "--data", str(data_dir), "--threads", "1", *options),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the server ended with {process.wait()} before it was ready"
        yield json.loads(line)["address"]
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture(scope="session")
def server_address(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running server with the tiny model. Tests share it: each makes voices under ids of its own."""
    with running_server(tiny_model_dir, tmp_path_factory.mktemp("data")) as address:
        yield address
