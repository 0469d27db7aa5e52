"""A model folder with pieces and a glossary: what it reads, and what is said of files that are wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sentencepiece
import yaml

from oncue_engine.checkpoints.layout import PACE_FILE, fingerprint
from oncue_engine.checkpoints.loaded import load_model
from oncue_engine.engine import Engine
from oncue_engine.errors import CheckpointError, InvalidRequest
from oncue_engine.options import EngineOptions
from oncue_engine.requests import LexiconEntry, Pacing, PacingMode, Reference, UtteranceRequest

from ..conftest import Recorder, reference

LINES = ("A B C D E F G H I J K L M N O P Q R S T U V W X Y Z", ". , ! ?", "重 庆 有 三 人 点")


@pytest.fixture(scope="module")
def folder(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, reading as a public one does: its table of text pieces has room for 47."""
    folder = Path(shutil.copytree(tiny_model_dir, tmp_path_factory.mktemp("models") / "pieces"))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["oncue"] |= {"tokenizer": "sentencepiece", "languages": ["zh", "en"]}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / PACE_FILE).unlink()
    with (folder / "bpe.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(LINES * 20), model_writer=file, vocab_size=47, model_type="bpe", unk_id=2,
            bos_id=0, eos_id=1, character_coverage=1.0, hard_vocab_limit=False, minloglevel=2,
            user_defined_symbols=["CHONG2"],
        )  # fmt: skip
    (folder / "glossary.yaml").write_text("API: A P I\nGIF: {pronunciation: jif}\n")
    return folder


@pytest.fixture(scope="module")
def engine(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine.load(folder, tmp_path_factory.mktemp("data"), EngineOptions(lanes=1, threads=1))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def voice(clip: Path) -> Reference:
    return reference(clip)


def asked(text: str, voice: Reference, *lexicon: LexiconEntry) -> UtteranceRequest:
    pacing = Pacing(PacingMode.UNPACED)
    return UtteranceRequest(text=text, voice=voice, sample_rate_hz=16_000, pacing=pacing, lexicon=lexicon)


def test_glossary_annotation_and_lexicon(engine: Engine, voice: Reference) -> None:
    text = "<重|chong2>庆有3人 API GIF"
    (segment,) = engine.plan(asked(text, voice)).segments
    assert segment.text == "<重|CHONG2>庆有三人 A P I <GIF|JIF>"
    assert (segment.char_begin, segment.char_end) == (0, len(text))
    (segment,) = engine.plan(asked(text, voice, LexiconEntry("api", "bee"))).segments
    assert segment.text == "<重|CHONG2>庆有三人 bee <GIF|JIF>"


def test_a_lexicon_is_heard(engine: Engine, voice: Reference) -> None:
    heard = []
    for text, lexicon in (("庆 API", ()), ("庆 API", (LexiconEntry("API", "bee"),)), ("庆 bee", ())):
        recorder = Recorder()
        engine.speak(asked(text, voice, *lexicon), recorder)
        recorder.finished()
        heard.append(recorder.samples.tobytes())
    assert heard[0] != heard[1] == heard[2]


def test_what_the_model_cannot_read_is_refused(engine: Engine, voice: Reference) -> None:
    for text, reason in (("<重|zhong4>庆", "TEXT_PRONUNCIATION_INVALID"), ("重庆虫", "TEXT_UNPRONOUNCEABLE")):
        with pytest.raises(InvalidRequest) as caught:
            engine.plan(asked(text, voice))
        assert caught.value.reason == reason


def test_the_public_rule_of_cutting_is_an_option(folder: Path) -> None:
    text = load_model(folder).text
    sentences = "A B, C D E F G H I J K. " * 30
    kept = text.served(None, public_cuts=False).segments(sentences)
    assert all(segment.text.endswith(".") for segment in kept)
    public = text.served(None, public_cuts=True).segments(sentences)
    assert not all(segment.text.endswith(".") for segment in public)


def test_the_glossary_is_part_of_the_fingerprint(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    assert fingerprint(other) == fingerprint(folder)
    (other / "glossary.yaml").write_text("API: something else\n")
    assert fingerprint(other) != fingerprint(folder)


@pytest.mark.parametrize(
    ("name", "written", "says"),
    [
        ("glossary.yaml", "API: [x]\n", r"glossary\.yaml, line 1: 'API'"),
        ("glossary.yaml", "GIF: {pronunciation: zhong4}\n", r"glossary\.yaml.*'zhong4'"),
        ("glossary.yaml", "a: b\nA: c\n", r"glossary\.yaml.*twice"),
        ("bpe.model", "junk", r"bpe\.model"),
    ],
)
def test_files_that_are_wrong_are_named(folder: Path, tmp_path: Path, name: str, written: str, says: str) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    (other / name).write_text(written)
    with pytest.raises(CheckpointError, match=says):
        load_model(other)
