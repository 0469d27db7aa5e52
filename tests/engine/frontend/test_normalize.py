"""Public normalisation against the reference's strings, and the mends that normalize.py lists."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncue_engine.frontend.normalize import PublicNormaliser, uses_chinese_rules
from oncue_engine.frontend.pinyin import PINYIN, correct_pinyin

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "text_frontend.json").read_text(encoding="utf-8"))
NORMALISER = PublicNormaliser()


OF_WETEXT = {
    "The meeting is on March 5, 2024 at 10:30 AM.",
    "Her phone number is 555-0199.",
    "省略号……还有...以及，，，都要处理。",
}
"""Texts that the grammars' two packages read differently; ours is wetext's reading."""
MENDED = {
    "Version 2.5.1 was released on 2023-11-07.": "mend 3: wetext says two.five",
    '"Quoted text" (with parentheses) [and brackets].': "mend 2: wetext leaves backslashes",
}
"""Texts where wetext is at fault and ours is the other package's reading."""


def test_the_golden_file_is_whole() -> None:
    assert len(GOLDEN["items"]) == 64
    differing = {item["text"] for item in GOLDEN["items"] if "normalized_wetext" in item}
    assert differing == OF_WETEXT | MENDED.keys()


@pytest.mark.parametrize("item", GOLDEN["items"], ids=lambda item: item["text"][:24])
def test_golden(item: dict[str, Any]) -> None:
    text = item["text"]
    if text:
        assert uses_chinese_rules(text) == item["uses_chinese_rules"]
    wanted = item["normalized_wetext"] if text in OF_WETEXT else item["normalized"]
    if item["skips_normalizer"]:
        assert len(text.strip()) <= 1
        wanted = text
    assert NORMALISER.normalize(text).text == wanted


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
    # Words after a number stay whole; units are units.
    assert NORMALISER.normalize("我有5 students和3methods，跑了5 km，重68kg。").text == (
        "我有五 students和三methods,跑了五公里,重六十八千克."
    )
    # What looks like a placeholder is the user's own text.
    assert NORMALISER.normalize("在<n_a>史蒂夫·乔布斯3").text == "在<n_a>史蒂夫-乔布斯三"
    assert NORMALISER.normalize("a <annotation_a> b <x|y>").text == "a <annotation_a> b <x|y>"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # Technical terms keep their hyphens, their digits are read (spec 2.2, step 5).
        ("用F5-TTS和COVID-19。", "用F五-TTS和COVID-十九."),
        # A contraction inside a longer word, in both languages (step 3).
        ("he said that's fine", "he said that is fine"),
        ("他说what's up", "他说what is up"),
        # An address alone is Chinese, within a text it goes by the text (step 2).
        ("ab@cd.com", "ab@cd.com"),
        ("mail ab@cd.com", "mail ab at cd dot com"),
        # Names joined once or twice, by any of the three signs (step 5).
        ("玛丽·居里—居里", "玛丽-居里-居里"),
        ("卡尔-马克思3", "卡尔-马克思三"),
        # Pinyin makes a text without Chinese characters Chinese (steps 2 and 8).
        ("say ju4 3 times", "say JV4 三 times"),
        # A dollar sign that no amount follows (step 8).
        ("价格$未定", "价格.未定"),
        ("你好 \n", "你好"),
    ],
)
def test_rules_beyond_the_golden_file(text: str, wanted: str) -> None:
    assert NORMALISER.normalize(text).text == wanted


@pytest.mark.parametrize("repeated", ["1", "a-", "，3个", "$1.5"])
def test_time_is_bounded_by_the_length(repeated: str) -> None:
    text = (repeated * 1000)[:1000]
    began = time.process_time()
    NORMALISER.normalize(text)
    # A tenth of a millisecond a character, three times that where all of it is numbers or hyphens: not quadratic.
    assert time.process_time() - began < 1.5


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
