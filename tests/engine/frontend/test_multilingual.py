"""Five languages to segments of pieces: how each is read, pronunciations, ranges in the user's text, refusals."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from oncue_engine.checkpoints.random_ranks import make_ranks
from oncue_engine.errors import InvalidRequest
from oncue_engine.frontend.multilingual import LANGUAGES
from oncue_engine.frontend.multilingual_text import MultilingualText
from oncue_engine.frontend.text import TextSegment
from oncue_engine.frontend.tiktoken_tokenizer import LANGUAGE_CODES, PRONUNCIATION_MARKS, TiktokenTokenizer
from oncue_engine.requests import LexiconEntry

MAX_PIECES = 40


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TiktokenTokenizer:
    path = tmp_path_factory.mktemp("ranks") / "small.tiktoken"
    path.write_bytes(make_ranks(1024))
    return TiktokenTokenizer(path)


@pytest.fixture(scope="module")
def frontend(tokenizer: TiktokenTokenizer) -> MultilingualText:
    return MultilingualText(tokenizer, MAX_PIECES, max_chars=5000)


def read(segments: list[TextSegment]) -> str:
    return "".join(segment.text for segment in segments)


@pytest.mark.parametrize(
    ("language", "text", "as_read"),
    [
        ("en", "I paid $3.50 (really?)", "i paid three point five dollars 'really?'"),
        ("en", "“Wait”… It's 10%", "'wait'… it is ten percent"),
        ("zh", "2024年5月1日，我花了3.5元。", "二零二四年五月一日,我花了三点五元."),
        ("zh", "OK，走吧！", "ok,走吧!"),
        ("ja", "東京へ行きました。OKです！", "東京 へ 行き まし た . ok です !"),
        ("ja", "私は 2024年、 学生だった", "私 は 2024 年 , 学生 だっ た"),
        ("es", "¿Qué tal? Tengo 25 años.", "¿QUÉ TAL? TENGO 25 AÑOS."),
        ("ar", "مرحبا، Hello 25", "مرحبا، Hello 25"),
    ],
)
def test_each_language_is_read_in_its_way(frontend: MultilingualText, language: str, text: str, as_read: str) -> None:
    assert read(frontend.segments(text, language=language)) == as_read
    assert read(frontend.segments(text)) == as_read, "the script tells the language"


@pytest.mark.parametrize(
    ("language", "text", "as_read", "as_spelled"),
    [
        ("zh", "银<行|xing2>吗", "银<行|XING2>吗", "银<|SPECIAL_TOKEN_2|>XING2<|SPECIAL_TOKEN_2|>吗"),
        ("en", "I <read|r eh1 d> it", "i <read|R EH1 D> it", "i <|SPECIAL_TOKEN_1|>R EH1 D<|SPECIAL_TOKEN_1|> it"),
        (
            "ja",
            "<今日|きょう>は<カフェ|kafe>へ",
            "<今日|きょう>は<カフェ|KAFE>へ",
            " きょう は<|SPECIAL_TOKEN_1|>KAFE<|SPECIAL_TOKEN_1|>へ",
        ),
        ("es", "el <whisky|güis ki>", "EL <whisky|GÜIS KI>", "EL <|SPECIAL_TOKEN_1|>GÜIS KI<|SPECIAL_TOKEN_1|>"),
        # No pronunciation, so nothing but text.
        ("es", "a < b | c", "A < B | C", "A < B | C"),
    ],
)
def test_pronunciations(
    frontend: MultilingualText,
    tokenizer: TiktokenTokenizer,
    language: str,
    text: str,
    as_read: str,
    as_spelled: str,
) -> None:
    (segment,) = frontend.segments(text, language=language)
    assert segment.text == as_read
    obeyed = frozenset((f"<|{language}|>", *PRONUNCIATION_MARKS))
    assert [piece.id for piece in segment.pieces] == [
        piece.id for piece in tokenizer.encode(f"<|{language}|> {as_spelled}", obeyed)
    ]


def test_a_lexicon_and_a_glossary_say_terms(frontend: MultilingualText, tmp_path: Path) -> None:
    (tmp_path / "glossary.yaml").write_text("SQL: {en: sequel, zh: 数据库}\nGIF: {pronunciation: jif}\n")
    with_terms = frontend.with_glossary(tmp_path / "glossary.yaml")
    assert read(with_terms.segments("The SQL of a GIF", language="en")) == "the sequel of a <GIF|JIF>"
    assert read(with_terms.segments("用SQL吧", language="zh")) == "用数据库吧"
    mine = (LexiconEntry("sql", reading="S Q L"), LexiconEntry("東京", pronunciation="とうきょう", language="ja"))
    assert read(with_terms.segments("The SQL of a GIF", mine, "en")) == "the s q l of a <GIF|JIF>"
    assert read(frontend.segments("東京へ", mine)) == "<東京|とうきょう>へ"
    assert read(frontend.segments("The SQL", language="en")) == "the sql"
    with pytest.raises(InvalidRequest) as caught:
        frontend.segments("a", (LexiconEntry("a", pronunciation="12"),), "en")
    assert caught.value.reason == "LEXICON_PRONUNCIATION_INVALID"


@pytest.mark.parametrize("language", LANGUAGES)
def test_special_tokens_in_the_text_are_not_obeyed(
    frontend: MultilingualText, tokenizer: TiktokenTokenizer, language: str
) -> None:
    for hostile in ("<|endoftext|>", "<|ja|>", "<|SPECIAL_TOKEN_1|>", "<|HAPPY|>", "<|<|en|>|>", "<|1.00|>"):
        (segment,) = frontend.segments(f"a {hostile} b", language=language)
        special = [piece.id for piece in segment.pieces if piece.id >= tokenizer.num_ranks]
        assert special == [tokenizer.special_id(f"<|{language}|>")], hostile


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_piece_is_the_language(frontend: MultilingualText, language: str) -> None:
    for segment in frontend.segments("abc, " * 60, language=language):
        assert frontend.language_row(segment.pieces[0].id) == LANGUAGE_CODES.index(language)
        assert segment.pieces[0].char_begin == segment.pieces[0].char_end == segment.char_begin
        assert len(segment.pieces) <= MAX_PIECES
        assert not {0, 1} & {piece.id for piece in segment.pieces}
    with pytest.raises(KeyError):
        frontend.language_row(70)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Please close the window before you leave, and open the door. Then it's 10% of $5! " * 4),
        ("zh", "请把窗户关上，然后在2024年5月1日再打开门。你说什么？ " * 8),
        ("ja", "窓を閉めてください。それから、ドアを開けて学校へ行きましょう！ " * 6),
        ("es", "Por favor, cierra la ventana antes de salir; ¿quién está en la puerta? " * 6),
        ("ar", "أغلق النافذة من فضلك، ثم افتح الباب. من هناك؟ " * 6),
    ],
)
def test_segments_cover_the_text_in_order(frontend: MultilingualText, language: str, text: str) -> None:
    segments = frontend.segments(text, language=language)
    assert len(segments) > 2
    assert segments[0].char_begin == 0 and segments[-1].char_end >= len(text.rstrip())
    for before, after in itertools.pairwise(segments):
        assert before.char_begin < before.char_end <= after.char_begin
        # Nothing but blanks between them.
        assert not text[before.char_end : after.char_begin].strip()
    for segment in segments:
        assert len(segment.pieces) <= MAX_PIECES
        for piece in segment.pieces:
            assert segment.char_begin <= piece.char_begin <= piece.char_end <= segment.char_end


def test_ranges_lead_back_through_every_step(frontend: MultilingualText) -> None:
    text = "それは<今日|きょう>です"
    (segment,) = frontend.segments(text, language="ja")
    spoken = {text[piece.char_begin : piece.char_end] for piece in segment.pieces if piece.text.strip() in "きょう"}
    assert spoken == {"<今日|きょう>"} or spoken == {"<今日|きょう>", ""}
    text = "It costs $3.50 now"
    (segment,) = frontend.segments(text, language="en")
    begin = segment.text.index("point")
    assert segment.text[begin : begin + 5] == "point"
    assert any(text[piece.char_begin : piece.char_end].strip() == "$3.50" for piece in segment.pieces)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "TEXT_EMPTY"),
        (" \n ", "TEXT_EMPTY"),
        ("…?!", "TEXT_UNPRONOUNCEABLE"),
        ("🙂", "TEXT_UNPRONOUNCEABLE"),
        ("<a|…>", "TEXT_PRONUNCIATION_INVALID"),
        ("<a| >", "TEXT_PRONUNCIATION_INVALID"),
        ("a\x00", "TEXT_CONTROL_CHARACTER"),
        ("\ud800", "TEXT_SURROGATE"),
        ("a" * 5001, "TEXT_TOO_LONG"),
        ("<word|" + "🙂a" * 50 + ">", "PRONUNCIATION_TOO_LONG"),
    ],
)
def test_text_that_cannot_be_read_is_refused(frontend: MultilingualText, text: str, reason: str) -> None:
    for language in LANGUAGES:
        with pytest.raises(InvalidRequest) as caught:
            frontend.segments(text, language=language)
        assert (caught.value.reason, caught.value.field) == (reason, "text")


@pytest.mark.parametrize(
    "text", ["a" * 5000, "🙂a" * 2500, "<" * 4999 + "a", "<a|b" * 1250, "! " * 2499 + "a", "12.5" * 1250]
)
def test_long_and_strange_texts_keep_within_the_budget(frontend: MultilingualText, text: str) -> None:
    segments = frontend.segments(text, language="es")
    assert max(len(segment.pieces) for segment in segments) <= MAX_PIECES


def test_japanese_without_its_package_is_a_precise_error(tmp_path: Path) -> None:
    (tmp_path / "small.tiktoken").write_bytes(make_ranks(1024))
    program = f"""
import sys
sys.modules["fugashi"] = None  # as if it were not installed
from pathlib import Path
from oncue_engine.errors import Unsupported
from oncue_engine.frontend.multilingual_text import MultilingualText
from oncue_engine.frontend.tiktoken_tokenizer import TiktokenTokenizer
frontend = MultilingualText(TiktokenTokenizer(Path({str(tmp_path / "small.tiktoken")!r})), 40, max_chars=100)
assert frontend.segments("hola", language="es")
assert frontend.readable(("es", "ja")) == ("es",)
try:
    frontend.segments("テスト", language="ja")
except Unsupported as error:
    print(error.reason, error.field, error.metadata["install"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["LANGUAGE_PACKAGE_MISSING", "language", "oncue[ja]"], done.stderr
