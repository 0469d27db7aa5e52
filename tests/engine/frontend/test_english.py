"""English as it is read aloud: a table of cases, where each word came from, and that nothing breaks it."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncue_engine.errors import InvalidRequest
from oncue_engine.frontend.dictionary import Dictionary
from oncue_engine.frontend.english import EnglishNormaliser

NORMALISER = EnglishNormaliser(Dictionary.load())

CASES = [
    # numbers
    ("I paid $12.50 for 3 coffees.", "I paid twelve dollars and fifty cents for three coffees."),
    ("1,000,000 people", "one million people."),
    ("007 and 0", "zero zero seven and zero."),
    ("3.14159 and .5", "three point one four one five nine and point five."),
    ("It was -5 degrees.", "It was minus five degrees."),
    ("the 21st, 2nd and 100th", "the twenty first, second and one hundredth."),
    ("In 1905, 1998, 2001, 2024 and 1900", "In nineteen oh five, nineteen ninety eight, two thousand one, "
     "twenty twenty four and nineteen hundred."),
    ("1500 soldiers", "one thousand five hundred soldiers."),
    ("the 1960s, the '90s and the 80s", "the nineteen sixties, the nineties and the eighties."),
    ("1/2 cup, 3/4, 1 1/2 and ¾ mile", "one half cup, three quarters, one and a half and three quarters mile."),
    ("24/7", "twenty four seven."),
    ("3:1, 10-20 and 2-1", "three to one, ten to twenty and two to one."),
    ("1939–1945", "nineteen thirty nine to nineteen forty five."),
    ("12345678901234567890", "one two three four five six seven eight nine zero one two three four five six seven "
     "eight nine zero."),
    ("1 + 1 = 2, 3 x 4, 10x", "one plus one equals two, three times four, ten times."),
    ("GPT-4, F-16, mp3, B2B, H2O, A1", "G P T four, F sixteen, mp three, B two B, H two O, ay one."),
    ("a 5-year-old", "a five year-old."),
    ("v2.5.1 on 192.168.0.1", "version two point five point one on one hundred ninety two dot one hundred sixty eight "
     "dot zero dot one."),
    ("No. 5, #5, vol. 3, pp. 3-4", "number five, number five, volume three, pages three to four."),
    ("2/5, 98/100, 120/80, 50/50", "two fifths, ninety eight out of one hundred, one hundred twenty over eighty, "
     "fifty fifty."),
    # money, per cent, units
    ("$5, $1, $0.99, $2.5 million, $3M", "five dollars, one dollar, ninety nine cents, two point five million dollars, "
     "three million dollars."),
    ("£20.05, €1,234.56, ¥500 and 50¢", "twenty pounds and five pence, one thousand two hundred thirty four euros and "
     "fifty six cents, five hundred yen and fifty cents."),
    ("25% or 0.5 %", "twenty five percent or zero point five percent."),
    ("10-20%", "ten to twenty percent."),
    ("20°C is 68 °F", "twenty degrees Celsius is sixty eight degrees Fahrenheit."),
    ("5 kg, 1 kg, 100 km/h, 60mph", "five kilograms, one kilogram, one hundred kilometers per hour, "
     "sixty miles per hour."),
    ("16 GB at 3.5 GHz", "sixteen gigabytes at three point five gigahertz."),
    ("6 ft. tall, or 6'2\"", "six feet tall, or six foot two."),
    ("-5° to 10°, 2 tbsp. sugar, 10 USD", "minus five degrees to ten degrees, two tablespoons sugar, ten dollars."),
    # dates and times
    ("on 2024-05-06", "on May sixth, twenty twenty four."),
    ("5/6/2024 or 13/2/2024", "May sixth, twenty twenty four or February thirteenth, twenty twenty four."),
    ("March 5, 2024", "March fifth, twenty twenty four."),
    ("5 May 2024, the 5th of May", "the fifth of May, twenty twenty four, the fifth of May."),
    ("Dec. 25 at 3:30pm", "December twenty fifth at three thirty P M."),
    ("10:30 AM, 8:00, 15:45, 10:05", "ten thirty ay M, eight o'clock, fifteen forty five, ten oh five."),
    ("at 5 a.m.", "at five ay M."),
    # telephone numbers
    ("555-0199", "five five five, zero one nine nine."),
    ("(555) 123-4567", "five five five, one two three, four five six seven."),
    ("+1 800-555-0100", "plus one, eight zero zero, five five five, zero one zero zero."),
    # abbreviations and acronyms
    ("Mr. and Mrs. Smith", "Mister and Missus Smith."),
    ("Dr. Brown lives at 42 Elm St.", "Doctor Brown lives at forty two Elm Street."),
    ("St. Louis vs. Boston, etc.", "Saint Louis versus Boston, et cetera."),
    ("e.g. this, i.e. that", "for example this, that is that."),
    ("J. R. R. Tolkien. Plan B. He left.", "J R R Tolkien. Plan B. He left."),
    ("The U.S. and the U.S.A.", "The U S and the U S ay."),
    ("Ask the I.R.S. The E.U. agreed at 5 p.m. Then", "Ask the I R S. The E U agreed at five P M. Then."),
    ("the IT department is on the A-list", "the I T department is on the ay-list."),
    ("NASA, BBC and FBI", "NASA, B B C and F B I."),
    ("the CEOs in the US", "the C E O's in the U S."),
    ("STOP OR I WILL SHOOT US ALL", "STOP OR I WILL SHOOT US ALL."),
    ("I am SO HAPPY", "I am SO HAPPY."),
    ("Henry VIII and World War II, Chapter IV", "Henry the eighth and World War two, Chapter four."),
    ("Vitamin A is an A.", "Vitamin A is an ay."),
    # addresses and symbols
    ("bob@example.com", "bob at example dot com."),
    ("See https://www.example.com/a-b.", "See W W W dot example dot com slash ay dash b."),
    ("AT&T & co", "AT and T and co."),
    ("rock 'n' roll, C++ and C#", "rock and roll, C plus plus and C sharp."),
    ("#winning and/or @home", "hashtag winning and or at home."),
    ("snake_case camelCase", "snake case camel Case."),
    # punctuation and Unicode
    ("Wait... what? No way!!", "Wait, what? No way!"),
    ("It ended… Then silence.", "It ended. Then silence."),
    ("“Quoted” (and bracketed) — so; on: and on", "Quoted, and bracketed, so, on, and on."),
    ("\"What?\" she said. 'Stop!'", "What? she said. Stop!"),
    ("Café naïve Łódź straße", "Cafe naive Lodz strasse."),
    ("it’s ‘fine’", "it's fine."),
    ("😀 Hello 👋🏽 world ❤️!", "Hello world!"),
    ("One line\nstill it\n\nA new one", "One line still it. A new one."),
    ("<b>bold</b> **stars** `code`", "bold stars code."),
    ("Well-known mother-in-law", "Well-known mother-in-law."),
    ("zero\u200bwidth soft\u00adhyphen no\u00a0break", "zerowidth softhyphen no break."),
    ("١٢ and ３", "twelve and three."),
    ("a β ray", "a beta ray."),
    ("...", ""),
    ("😀", ""),
]  # fmt: skip


@pytest.mark.parametrize(("written", "read"), CASES)
def test_is_read(written: str, read: str) -> None:
    assert NORMALISER.normalize(written).text == read


def test_letters_of_other_scripts_are_refused_by_name() -> None:
    with pytest.raises(InvalidRequest) as caught:
        NORMALISER.normalize("Hello 你好 and Привет")
    assert caught.value.reason == "TEXT_UNPRONOUNCEABLE"
    assert caught.value.field == "text"
    assert "你" in caught.value.metadata["characters"]


def test_words_know_where_they_came_from() -> None:
    text = "Dr. Lee paid “$12.50” — on 5/6/2024."
    normal = NORMALISER.normalize(text)

    def origin(word: str) -> str:
        begin, end = normal.origin(normal.text.index(word), normal.text.index(word) + len(word))
        return text[begin:end]

    assert origin("Doctor") == "Dr."
    assert origin("Lee") == "Lee"
    assert origin("twelve") == origin("cents") == "$12.50"
    assert origin("May sixth, twenty twenty four") == "5/6/2024"


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(
        st.text(max_size=80),
        st.text(alphabet=st.characters(max_codepoint=0x2FF), max_size=80),
        st.text(alphabet="0123456789.,:;/-+$%°#x'\"()ABMa stndp&@", max_size=60),
    )
)
def test_never_breaks_and_never_loses_words(text: str) -> None:
    try:
        normal = NORMALISER.normalize(text)
    except InvalidRequest as error:
        assert error.reason == "TEXT_UNPRONOUNCEABLE"
        return
    assert re.fullmatch(r"[A-Za-z',.?! -]*", normal.text)
    assert len(normal.begins) == len(normal.ends) == len(normal.text)
    assert list(normal.begins) == sorted(normal.begins)
    assert all(0 <= begin <= end <= len(text) for begin, end in zip(normal.begins, normal.ends, strict=True))
    if re.search(r"[A-Za-z0-9]", re.sub(r"<[^<>]*>", "", text)):
        assert re.search(r"[A-Za-z]", normal.text)


@pytest.mark.parametrize("unit", ["1", "a", "A", "(", " \n", "'", "1/2/", "12:", "a@b.", "$1,", "Ab.", "1-", '"', "."])
def test_time_is_linear_in_the_text(unit: str) -> None:
    begin = time.process_time()
    NORMALISER.normalize((unit * 10_000)[:10_000])
    assert time.process_time() - begin < 2
