"""Public normalisation against the reference's strings, and the mends that normalize.py lists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncue_engine.frontend.normalize import PublicNormaliser, uses_chinese_rules
from oncue_engine.frontend.pinyin import PINYIN, correct_pinyin

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "text_frontend.json").read_text(encoding="utf-8"))
NORMALISER = PublicNormaliser()


@pytest.mark.parametrize("item", [item for item in GOLDEN["items"] if item["text"]], ids=lambda item: item["text"][:24])
def test_golden(item: dict[str, Any]) -> None:
    assert uses_chinese_rules(item["text"]) == item["uses_chinese_rules"]
    accepted = {item["normalized"], item.get("normalized_wetext", item["normalized"])}
    if item["skips_normalizer"]:
        accepted = {item["text"]}
    assert NORMALISER.normalize(item["text"]).text in accepted


def test_golden_glossary() -> None:
    normaliser = PublicNormaliser(GOLDEN["glossary"]["terms"])
    for item in GOLDEN["glossary"]["items"]:
        assert normaliser.normalize(item["text"]).text == item["normalized"]


def test_pronunciations_come_back_verbatim() -> None:
    assert NORMALISER.normalize("<重|chong2>庆有3个<a|B1>。").text == "<重|chong2>庆有三个<a|B1>."


@pytest.mark.parametrize(
    ("syllable", "corrected"),
    [
        ("ju4", "JV4"),
        ("xuan4", "XVAN4"),
        ("que4", "QVE4"),
        ("jüe2", "JVE2"),
        ("xing2", "xing2"),
        ("lv4", "lv4"),
        ("zhu1", "zhu1"),
    ],
)
def test_pinyin_correction(syllable: str, corrected: str) -> None:
    assert PINYIN.fullmatch(syllable)
    assert correct_pinyin(syllable) == corrected


@pytest.mark.parametrize("text", ["beta1", "voice2", "xuan6", "b2", "GPT4"])
def test_not_pinyin(text: str) -> None:
    assert PINYIN.search(text) is None


def test_mends() -> None:
    # Escapes that the grammars leave in, and the point that they keep in a version.
    assert "\\" not in NORMALISER.normalize('She said "no" twice.').text
    assert NORMALISER.normalize("Version 2.5.1 is out.").text == "Version two point five point one is out."
    # More than 26 protected syllables stay apart and in order.
    syllables = [f"{initial}{final}" for initial in "bpmfdtnl" for final in ("a1", "o2", "i3", "u4")]
    assert NORMALISER.normalize("音" + "，".join(syllables)).text == "音" + ",".join(syllables)
    # What the grammars choke on is kept as it was written.
    assert NORMALISER.normalize("abc\u0000日本5 and ｶﾅ").text.strip()


def test_words_know_where_they_came_from() -> None:
    text = "I paid $12.50 in Rome. 他叫ju4。"
    for chinese in (text, text.split(" 他")[0]):
        normal = NORMALISER.normalize(chinese)
        begin, end = normal.origin(normal.text.index("Rome"), normal.text.index("Rome") + 4)
        assert chinese[begin:end] == "Rome"
        begin, end = normal.origin(normal.text.index("paid"), normal.text.index("Rome") - 1)
        assert "$12.50" in chinese[begin:end]


@settings(deadline=None, max_examples=150)
@given(
    st.one_of(
        st.text(max_size=40),
        st.text(alphabet="0123456789年月日.-:/%$ aMst'\"()你好ju4x·<|>", max_size=40),
    )
)
def test_never_fails_and_never_comes_out_empty(text: str) -> None:
    normal = NORMALISER.normalize(text)
    assert len(normal.text) == len(normal.begins) == len(normal.ends)
    assert all(0 <= begin <= end <= len(text) for begin, end in zip(normal.begins, normal.ends, strict=True))
    if any(character.isalnum() for character in text):
        assert normal.text.strip()
