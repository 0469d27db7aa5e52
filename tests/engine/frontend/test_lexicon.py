"""A request's lexicon and glossary files: what is replaced, what goes first, what is refused."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncue_engine.errors import CheckpointError, InvalidRequest
from oncue_engine.frontend.glossary import read_glossary
from oncue_engine.frontend.terms import Terms, find
from oncue_engine.frontend.text import TextFrontend
from oncue_engine.requests import LexiconEntry

ENGLISH = TextFrontend.english(max_pieces=120)
GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "text_frontend.json").read_text(encoding="utf-8"))


def read(frontend: TextFrontend, text: str, *lexicon: LexiconEntry) -> str:
    return " ".join(segment.text for segment in frontend.segments(text, lexicon))


def entry(term: str, reading: str | None = None, **other: Any) -> LexiconEntry:
    return LexiconEntry(term, reading, **other)


def test_terms_are_literal_whole_and_the_longest_counts() -> None:
    terms = Terms({"a+b": 1, "a+b c": 2, "SQL": 3, "界": 4, "M.2": 5, "...": 6})
    found = [
        (text, list(find(text, [terms]))) for text in ("A+B c", "a+bc", "aab", "mysql SQL2 sql's", "世界2", "m.2.x")
    ]
    assert found == [
        ("A+B c", [(0, 5, 2)]),
        ("a+bc", []),  # "b" is within a word
        ("aab", []),
        ("mysql SQL2 sql's", [(11, 14, 3)]),
        ("世界2", [(1, 2, 4)]),
        ("m.2.x", [(0, 3, 5)]),
    ]
    other = Terms({"sql": 30, "sql's": 31})
    assert list(find("SQL", [other, terms])) == [(0, 3, 30)]
    assert list(find("SQL's", [terms, other])) == [(0, 5, 31)]
    assert list(find("İSQL İ SQL", [terms])) == [(7, 10, 3)]


def test_readings_are_read_as_if_they_had_been_written() -> None:
    lexicon = (entry("SKU", "item 7"), entry("sql", "sequel"), entry("Dr. No", "the villain"))
    assert read(ENGLISH, "The SQL of SKU, MySQL and Dr. No's.", *lexicon) == (
        "The sequel of item seven, My S Q L and the villain's."
    )
    # Replacements are not searched again.
    assert read(ENGLISH, "left right", entry("left", "right"), entry("right", "left")) == "right left."
    # Text that this model could not read by itself.
    assert read(ENGLISH, "你好, world", entry("你好", "ni how")) == "ni how, world."


def test_ranges_refer_to_the_users_text() -> None:
    text = "My SQL, and SQL."
    (segment,) = ENGLISH.segments(text, [entry("sql", "structured query language")])
    assert segment.text == "My structured query language, and structured query language."
    said = [(piece.char_begin, piece.char_end) for piece in segment.pieces]
    assert (3, 6) in said and (12, 15) in said
    assert (segment.char_begin, segment.char_end) == (0, len(text))


def test_pronunciations(public: TextFrontend) -> None:
    (segment,) = ENGLISH.segments("The GIF's here.", [entry("gif", pronunciation="JH IH1 F")])
    assert [piece.text for piece in segment.pieces][:6] == ["dh", "ax", "jh", "ih", "f", "s"]
    assert segment.text == "The <gif|jh ih f>'s here."
    (segment,) = public.segments("重庆有3人", [entry("重庆", pronunciation="chong2 qing4")])
    assert segment.text == "<重庆|CHONG2 QING4>有三人"


def test_an_annotation_goes_before_the_lexicon_and_that_before_the_glossaries(tmp_path: Path) -> None:
    for name, reading in (("model.yaml", "model"), ("server.yaml", "server")):
        (tmp_path / name).write_text(f"x1: {reading}\nonly {reading}: it is {reading}\nX1 Y: longer\n")
    frontend = ENGLISH.with_glossary(tmp_path / "model.yaml").with_glossary(tmp_path / "server.yaml")
    assert read(frontend, "X1, only model, only server") == "server, it is model, it is server."
    assert read(frontend, "x1 <x1|ey> x1 y", entry("X1", "mine")) == "mine <x1|ey> longer."
    assert read(ENGLISH, "x1") == "x one."


def test_languages(public: TextFrontend) -> None:
    lexicon = (entry("API", "A P I"), entry("M2", "M two", language="en-GB"), entry("M2", "M 二", language="zh"))
    assert read(public, "hello M2, API", *lexicon) == "hello M two, A P I"
    assert read(public, "你好M2, api", *lexicon) == "你好M 二, A P I"
    # Another language's entries, and its pronunciations, are for another model.
    other = (entry("M2", "M deux", language="fr"), entry("M2", pronunciation="chong2", language="zh-CN"))
    assert read(ENGLISH, "hello M2", *other) == "hello M two."


def test_golden_glossary(public: TextFrontend, tmp_path: Path) -> None:
    path = tmp_path / "glossary.yaml"
    path.write_text(json.dumps(GOLDEN["glossary"]["terms"]))
    normaliser = public.normaliser
    frontend = TextFrontend(Everything(), normaliser, max_pieces=120).with_glossary(path)
    for item in GOLDEN["glossary"]["items"]:
        assert read(frontend, item["text"]) == item["normalized"]


class Everything:
    """A tokenizer with a piece for every character, so that a text shows as it was normalised."""

    vocabulary_size = 1_200_000
    unknown_id = 2

    def pronounce(self, word: str, pronunciation: str) -> tuple[str, ...]:
        return tuple(pronunciation)

    def encode(self, text: str, pronounced: object = None) -> list[Any]:
        from oncue_engine.frontend.pieces import Piece

        return [Piece(character, ord(character) + 3, at, at + 1) for at, character in enumerate(text)]


@pytest.mark.parametrize(
    ("lexicon", "reason", "field", "metadata"),
    [
        ([entry(f"t{n}", "x") for n in range(501)], "LEXICON_TOO_LONG", "lexicon.entries", {"max_entries": "500"}),
        ([entry("", "x")], "LEXICON_TERM_INVALID", "lexicon.entries[0].term", {"max_chars": "100"}),
        ([entry("a", "x"), entry(" ", "x")], "LEXICON_TERM_INVALID", "lexicon.entries[1].term", {"chars": "1"}),
        ([entry("b" * 101, "x")], "LEXICON_TERM_INVALID", "lexicon.entries[0].term", {"chars": "101"}),
        ([entry("a\nb", "x")], "LEXICON_TERM_INVALID", "lexicon.entries[0].term", {}),
        ([entry("a\U000f0000", "x")], "LEXICON_TERM_INVALID", "lexicon.entries[0].term", {}),
        ([entry("\ud83d", "x")], "LEXICON_TERM_INVALID", "lexicon.entries[0].term", {}),
        ([entry("a<b", "x")], "LEXICON_TERM_INVALID", "lexicon.entries[0].term", {}),
        ([entry("SQL", "a"), entry("sql ", "b")], "LEXICON_TERM_TWICE", "lexicon.entries[1].term", {"first": "0"}),
        ([entry("a")], "LEXICON_READING_REQUIRED", "lexicon.entries[0]", {}),
        ([entry("a", "b", pronunciation="ey")], "LEXICON_READING_REQUIRED", "lexicon.entries[0]", {}),
        ([entry("a", "")], "LEXICON_READING_INVALID", "lexicon.entries[0].reading", {"chars": "0"}),
        ([entry("a", "<a|ey>")], "LEXICON_READING_INVALID", "lexicon.entries[0].reading", {}),
        ([entry("a", "b" * 101)], "LEXICON_READING_INVALID", "lexicon.entries[0].reading", {}),
        ([entry("a", pronunciation=" ")], "LEXICON_PRONUNCIATION_INVALID", "lexicon.entries[0].pronunciation", {}),
        (
            [entry("a", pronunciation="ey zz")],
            "LEXICON_PRONUNCIATION_INVALID",
            "lexicon.entries[0].pronunciation",
            {"part": "zz"},
        ),
        ([entry("a", "b", language="")], "LEXICON_LANGUAGE_INVALID", "lexicon.entries[0].language", {}),
        ([entry("a", "b", language="english")], "LEXICON_LANGUAGE_INVALID", "lexicon.entries[0].language", {}),
    ],
)
def test_refused(lexicon: list[LexiconEntry], reason: str, field: str, metadata: dict[str, str]) -> None:
    """Whether or not the text has the term."""
    with pytest.raises(InvalidRequest) as caught:
        ENGLISH.segments("hello", lexicon)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    assert metadata.items() <= caught.value.metadata.items()


def test_a_text_that_readings_make_too_long() -> None:
    with pytest.raises(InvalidRequest) as caught:
        ENGLISH.segments("a " * 2000, [entry("a", "b" * 100)])
    assert (caught.value.reason, caught.value.metadata) == ("LEXICON_TEXT_TOO_LONG", {"max_chars": "10000"})


def test_the_worst_lexicon_is_fast() -> None:
    """Every place of the text is the beginning of a term of every length."""
    lexicon = [entry("a." * 49 + f"{n:02d}", "b") for n in range(100)]
    lexicon += [entry("a." * n + "z", "b") for n in range(1, 49)] + [entry("a" + "." * n, "b") for n in range(2, 99)]
    text = "a." * 5000
    began = time.process_time()
    list(find(text, [Terms({item.term: item.reading for item in lexicon})]))
    assert time.process_time() - began < 1.0


def test_nothing_of_one_lexicon_is_left_for_the_next_request() -> None:
    before = read(ENGLISH, "SQL and GIF")
    read(ENGLISH, "SQL and GIF", entry("SQL", "sequel"), entry("GIF", pronunciation="jh ih f"))
    assert read(ENGLISH, "SQL and GIF") == before == "S Q L and G I F."


# Glossary files


def test_a_glossary_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "glossary.yaml"
    path.write_text(
        "# ours\nNO: number\n1.50: one fifty\nM.2: {en: M dot two, zh: M 二}\nGIF: {pronunciation: JH IH1 F}\n"
    )
    assert read_glossary(path) == (
        LexiconEntry("NO", "number"),
        LexiconEntry("1.50", "one fifty"),
        LexiconEntry("M.2", "M dot two", language="en"),
        LexiconEntry("M.2", "M 二", language="zh"),
        LexiconEntry("GIF", pronunciation="JH IH1 F"),
    )
    path.write_text("")
    assert read_glossary(path) == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a\n- b\n", "line 1"),
        ("a: b\na: c\n", "'a' twice"),
        ("a:\n  en: [b]\n", "'a': en"),
        ("a:\n  - b\n", "line 2"),
        ("[x]: b\n", "no text"),
        ("a: 'b\n", "no YAML"),
        ("a: ''\n", "reading"),
        ("a: {pronunciation: qq}\n", "'qq'"),
        ("a: {klingon: qq}\n", "klingon"),
        ("A: b\na: c\n", "twice"),
        ("\x00", "no YAML"),
    ],
)
def test_a_glossary_that_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "terms.yaml"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=r"terms\.yaml") as caught:
        ENGLISH.with_glossary(path)
    assert says in str(caught.value)
    assert caught.value.reason == "GLOSSARY_INVALID"


def test_no_glossary_at_all(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(CheckpointError):
            ENGLISH.with_glossary(path)


# Anything at all

ANY = st.one_of(st.text(max_size=12), st.text(alphabet="aAb1 .<|>重chong2 ihjf", max_size=12))
ENTRIES = st.builds(
    LexiconEntry, ANY, st.none() | ANY, st.none() | ANY, st.sampled_from([None, None, "en", "zh-CN", "", "?"])
)


@settings(deadline=None, max_examples=200)
@given(
    st.text(alphabet="aAb1 .,<|>重chong2 ihjf\U000f0000!'-", max_size=60), st.lists(ENTRIES, max_size=5), st.booleans()
)
def test_anything_is_said_or_refused(public: TextFrontend, text: str, lexicon: list[LexiconEntry], en: bool) -> None:
    frontend = ENGLISH if en else public
    try:
        segments = frontend.segments(text, lexicon)
    except InvalidRequest as error:
        assert error.field == "text" or error.field.startswith("lexicon")
        assert error.reason.startswith(("TEXT_", "LEXICON_"))
        return
    for segment in segments:
        assert segment.pieces and segment.text
        assert 0 <= segment.char_begin <= segment.char_end <= len(text)
        for piece in segment.pieces:
            assert segment.char_begin <= piece.char_begin <= piece.char_end <= segment.char_end
            assert piece.id != frontend.tokenizer.unknown_id
