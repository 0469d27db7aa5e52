"""`<word|pronunciation>`: said as it tells by both kinds of tokenizer, or refused with its position."""

from __future__ import annotations

import pytest

from oncue_engine.errors import InvalidRequest
from oncue_engine.frontend.phones import looks_like_phones, read_phones
from oncue_engine.frontend.pinyin import split_pinyin
from oncue_engine.frontend.text import TextFrontend, TextSegment

ENGLISH = TextFrontend.english(max_pieces=120)


def said(segment: TextSegment) -> str:
    return " ".join(piece.text for piece in segment.pieces)


def refused(frontend: TextFrontend, text: str) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        frontend.segments(text)
    assert (caught.value.reason, caught.value.field) == ("TEXT_PRONUNCIATION_INVALID", "text")
    return caught.value.metadata


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("The <GIF|JH IH1 F> loads.", "dh ax jh ih f l ow d z ."),
        ("the <GIF|jh ih f>'s end", "dh ax jh ih f s eh n d ."),
        # "the" goes by what is said, not by what is written.
        ("the <hour|aw1 er0>", "dh iy aw er ."),
        ("the <one|w ah1 n>", "dh ax w ah n ."),
        ("<banana|B AH0 N AE1 N AH0>", "b ax n ae n ax ."),
        ("un<read|r eh d>able", "ah n r eh d ey b ax l ."),
        ("<a|ey><b|b iy>, <c|s iy>!", "ey b iy , s iy !"),
        ("Mr. <Nguyen|w ih n> left.", "m ih s t er w ih n l eh f t ."),
        ("<1984|n ay n t iy n>", "n ay n t iy n ."),
        ("<重|jh ao ng>", "jh ao ng ."),
    ],
)
def test_phones_are_said_as_they_are_given(text: str, phones: str) -> None:
    (segment,) = ENGLISH.segments(text)
    assert said(segment) == phones


def test_names_that_look_like_ours_are_the_users() -> None:
    (plain,), (segment,) = ENGLISH.segments("Qxza"), ENGLISH.segments("Qxza <x|eh k s> qxzqa")
    assert segment.text == "Qxza <x|eh k s> qxzqa."
    assert said(segment).startswith(said(plain).removesuffix(".") + "eh k s ")


def test_the_users_text_is_what_ranges_refer_to() -> None:
    text = "Look, <GIF|JH IH1 F>s move."
    (segment,) = ENGLISH.segments(text)
    ranges = [text[piece.char_begin : piece.char_end] for piece in segment.pieces]
    assert ranges.count("<GIF|JH IH1 F>") == 3
    assert segment.text == "Look, <GIF|jh ih f> s move."
    # What a plan shows can be sent again, and is said the same.
    assert said(ENGLISH.segments(segment.text)[0]) == said(segment)


@pytest.mark.parametrize(
    ("text", "position", "part"),
    [
        ("The <GIF|jif> loads.", "4", "jif"),
        ("<a|ey> and <b|b ii>", "11", "ii"),
        ("<k|k1>", "0", "k1"),
        ("<重|chong2>", "0", "chong2"),
        ("<x|eh3>", "0", "eh3"),
    ],
)
def test_what_is_no_phone_is_refused(text: str, position: str, part: str) -> None:
    metadata = refused(ENGLISH, text)
    assert (metadata["position"], metadata["part"]) == (position, part)
    assert "ARPAbet" in metadata["reads"]


def test_empty_and_endless_pronunciations(public: TextFrontend) -> None:
    for frontend in (ENGLISH, public):
        assert refused(frontend, "say <GIF|> now")["position"] == "4"
        assert refused(frontend, "say <GIF|  > now")["word"] == "GIF"
        assert refused(frontend, f"<GIF|{'ih ' * 40}>")["max_chars"] == "100"


@pytest.mark.parametrize("text", ["a <|b> c", "x < y | z > w", "to <a\n|b> d", "<a|b", "<a|b|c> d"])
def test_what_is_no_annotation_is_text(text: str) -> None:
    assert "<" not in ENGLISH.segments(text)[0].text


def test_characters_that_marks_are_made_of_are_blanks(public: TextFrontend) -> None:
    (segment,) = ENGLISH.segments("one\U000f0000two <GIF|JH IH1 F>")
    assert segment.text == "one two <GIF|jh ih f>."
    (segment,) = public.segments("hello\U000f0000world")
    assert segment.text == "hello world"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("<重|chong2>庆有3人。", "CHONG2 庆 有 三 人 ."),
        ("<重庆|chóng qìng>有人", "CHONG2 QING4 有 人"),
        ("<重庆|chong2qing4>有人", "CHONG2 QING4 有 人"),
        ("<玄|xuan4><绿|lü4>", "XVAN4 LV4"),
        ("<剧|jú>", None),
        ("<剧|JU4>", "JV4"),
        ("<重|人>庆", "人 庆"),
        ("THE <cat|dog> jumps", "THE DOG JUMPS"),
        ("a<重|chong2>b", "A CHONG2 B"),
        ("hello <儿|er2> 3 world", "HELLO ER2 三 WORLD"),
        ("<SQL|sequel> 3", "SEQUEL THREE"),
        ("A <SQL|sequel> 3", "A SEQUEL THREE"),
    ],
)
def test_pinyin_and_respellings(public: TextFrontend, text: str, pieces: str | None) -> None:
    if pieces is None:
        assert refused(public, text)["part"] == "ju2"
        return
    (segment,) = public.segments(text)
    assert (
        "".join(piece.text for piece in segment.pieces).replace("▁", " ").split()
        == pieces.replace(" .", ".").replace("人.", "人 .").split()
    )
    assert all(0 <= piece.char_begin <= piece.char_end <= len(text) for piece in segment.pieces)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("<重|zhong4>庆", "zhong4"),  # pinyin, but no piece of this vocabulary
        ("<重|chong6>庆", "chong6"),
        ("<beta|beta1>", "beta1"),
        ("<SQL|S IY1 K W AH0 L>", "S IY1 K W AH0 L"),
        ("<重|虫>", "虫"),  # not in the vocabulary either
        ("<a|b_c>", "b_c"),
        ("<a|привет>", "привет"),
    ],
)
def test_what_the_public_model_cannot_read_is_refused(public: TextFrontend, text: str, part: str) -> None:
    metadata = refused(public, text)
    assert (metadata["position"], metadata["part"]) == ("0", part)
    assert "pinyin" in metadata["reads"]


def test_splitting_pinyin() -> None:
    assert split_pinyin("chong2qing4") == ("chong2", "qing4")
    assert split_pinyin("lǜ") == ("lü4",)
    assert split_pinyin("nǐ") == ("ni3",)
    assert split_pinyin("ni") == split_pinyin("chóngqìng") == split_pinyin("") == split_pinyin("beta1") == ()


def test_reading_phones() -> None:
    assert read_phones("S IY1 K W AH0 L") == ("s", "iy", "k", "w", "ax", "l")
    assert read_phones("ah1 AH2 ah") == ("ah", "ah", "ah")
    assert looks_like_phones("k ae1 t") and looks_like_phones("AH0 B")
    assert not looks_like_phones("er") and not looks_like_phones("S B") and not looks_like_phones("sequel")
