"""A public model's text side as it is served: mixed languages, what the vocabulary lacks, anything at all."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncue_engine.errors import InvalidRequest
from oncue_engine.frontend.normalize import PublicNormaliser
from oncue_engine.frontend.text import MAX_CHARS, TextFrontend

NORMALISER = PublicNormaliser()


def pieces(frontend: TextFrontend, text: str) -> list[str]:
    joined = "".join(piece.text for segment in frontend.segments(text) for piece in segment.pieces)
    return joined.replace("▁", " ").split()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("你好, world!", ["你", "好", ",", "WORLD!"]),
        ("今天 the fox 读3字。", ["今", "天", "THE", "FOX", "读", "三", "字", "."]),
        ("读ju4字", ["读", "JV4", "字"]),
        ("Hello Fox-Dog", ["HELLO", "FOX-DOG"]),
        ("fox@dog.com", ["FOX@DOG.COM"]),
        ("the fox@dog.com", ["THE", "FOX", "AT", "DOG", "DOT", "COM"]),
    ],
)
def test_mixed_text(public: TextFrontend, text: str, wanted: list[str]) -> None:
    assert pieces(public, text) == wanted


def test_signs_that_the_vocabulary_lacks_are_passed_over(public: TextFrontend) -> None:
    assert pieces(public, "hello 😀 { world }") == ["HELLO", "WORLD"]


def test_letters_that_the_vocabulary_lacks(public: TextFrontend) -> None:
    """Without accents and in their usual width where that is known, and refused where not: never noise."""
    assert pieces(public, "café naïve ｈｅｌｌｏ") == ["CAFE", "NAIVE", "HELLO"]
    with pytest.raises(InvalidRequest) as caught:
        public.segments("hello 龘, world")
    assert (caught.value.reason, caught.value.field) == ("TEXT_UNPRONOUNCEABLE", "text")
    assert caught.value.metadata == {"characters": "龘", "position": "6"}


def test_sentences_stay_whole_in_long_texts(bpe_model: Path, public: TextFrontend) -> None:
    sentence = "The quick brown fox, jumps over the lazy dog - and over the world. "
    segments = public.segments(sentence * 20)
    assert len(segments) > 3
    assert all(segment.text.startswith("The") and segment.text.endswith(".") for segment in segments)
    assert all(len(segment.pieces) <= 120 for segment in segments)


def test_a_long_text_is_read_in_time(public: TextFrontend) -> None:
    text = ("你好, 今天有3人读字。 The quick brown fox has 12 dogs. " * 200)[: MAX_CHARS // 2]
    began = time.process_time()
    assert len(public.segments(text)) > 20
    assert time.process_time() - began < 4.0


def test_what_the_english_grammars_fail_on_is_read_as_it_is_written() -> None:
    """They have no way through "=5"; nor, then, through the sentence it is in. The rest of it is read."""
    text = "Room 5 has dogs. The answer is =5 for 3 dogs. The last 7 were foxes."
    assert NORMALISER.normalize(text).text == (
        "Room five has dogs. The answer is =5 for three dogs. The last seven were foxes."
    )


def test_what_the_chinese_grammars_fail_on_is_read_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known that they fail on, so they are made to: raising, losing all, and losing a hidden word."""
    normaliser = PublicNormaliser()
    whole = normaliser._chinese.normalize

    def failing(text: str) -> str:
        if "boom" in text:
            raise RuntimeError("no path")
        return "" if "void" in text else whole(text).replace("\U00100000", "")

    monkeypatch.setattr(normaliser._chinese, "normalize", failing)
    assert normaliser.normalize("这是5。一个boom是6。这是7。").text == "这是五.一个boom是6.这是七."
    assert normaliser.normalize("这是void 5").text == "这是void 五"
    assert normaliser.normalize("这是 xuan4 5").text == "这是 XVAN4 五"


@pytest.mark.parametrize("sign", ["=", ">", "<=", "-", "/", "+", "%", "'s", "@b.com", ":", "5", " 5", "_", "~"])
@pytest.mark.parametrize("text", ["有5{}{}3人", "the {}{} 3 dogs"])
def test_what_is_hidden_from_the_grammars_comes_back(public: TextFrontend, text: str, sign: str) -> None:
    for hidden in ("<重|chong2>", "<x|fox>", "ju4", "5 students"):
        written = "".join(segment.text for segment in public.segments(text.format(hidden, sign)))
        shown = {"<重|chong2>": "<重|CHONG2>", "<x|fox>": "<x|FOX>", "ju4": "JV4", "5 students": "students"}[hidden]
        assert shown in written


WORDS = st.sampled_from("hello world fox dog API the don't e-mail GPT-4 café 你好 世界 今天 人 有 读 嗯 花儿".split())
SIGNS = st.sampled_from(
    ["，", "。", " ", "、", "！", "?", "“", "(", ")", "…", " - ", ";", '"', "'", "3", "2024", "$5", "50%"]
)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(WORDS, SIGNS), min_size=1, max_size=8))
def test_no_word_is_lost(pairs: list[tuple[str, str]]) -> None:
    """Whatever stands around it: letters and characters come back in order, what numbers become stands between."""
    text = "".join(word + sign + " " for word, sign in pairs)
    read = NORMALISER.normalize(text)
    wanted = [character for word, _ in pairs for character in word if character.isalpha()]
    for character in read.text:
        if wanted and character.lower() == wanted[0].lower():
            wanted.pop(0)
    assert not wanted


@settings(deadline=None, max_examples=150)
@given(
    st.one_of(
        st.text(max_size=40), st.text(alphabet="0123456789年月日.-:/%$ aMst'\"()你好ju4x·<|>HELOé，。", max_size=40)
    )
)
def test_anything_is_read_or_refused(public: TextFrontend, text: str) -> None:
    try:
        segments = public.segments(text)
    except InvalidRequest as error:
        assert error.field == "text"
        assert error.reason.startswith("TEXT_")
        if error.reason == "TEXT_UNPRONOUNCEABLE" and not error.metadata:
            assert not re.search("[0-9A-Za-z你好年月日]", text)
        return
    last = 0
    for segment in segments:
        assert 0 < len(segment.pieces) <= 120
        assert last <= segment.char_begin <= segment.char_end <= len(text)
        last = segment.char_begin
        assert all(piece.id != public.tokenizer.unknown_id for piece in segment.pieces)
