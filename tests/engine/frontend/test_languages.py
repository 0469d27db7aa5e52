"""The language of a text: by tag, or by its script."""

from __future__ import annotations

import pytest

from oncue_engine.errors import InvalidRequest
from oncue_engine.frontend.languages import guess_language, language_of

ALL = ("zh", "en", "ja", "es", "ar")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Please close the window.", "en"),
        ("A café, a résumé, and a naïve Zoë.", "en"),
        ("请把窗户关上。", "zh"),
        ("今天的 meeting 取消了。", "zh"),
        ("窓を閉めてください。", "ja"),
        ("コーヒー", "ja"),
        ("ﾃｽﾄ", "ja"),
        ("¿Puedes cerrar la ventana?", "es"),
        ("MAÑANA", "es"),
        ("Está lloviendo.", "es"),
        ("أغلق النافذة من فضلك", "ar"),
        ("12.50", "en"),
        ("", "en"),
    ],
)
def test_the_script_tells(text: str, language: str) -> None:
    assert guess_language(text, ALL) == language


def test_a_guess_is_among_what_the_model_speaks() -> None:
    assert guess_language("窓を閉めて", ("zh", "en")) == "zh"
    assert guess_language("¿Qué?", ("zh", "en")) == "en"
    assert guess_language("hello", ("ja", "zh")) == "ja"
    assert guess_language("窓を", ("en",)) == "en"


@pytest.mark.parametrize(("tag", "language"), [("zh", "zh"), ("ZH", "zh"), ("zh-Hans-CN", "zh"), ("es-419", "es")])
def test_the_first_part_of_a_tag_counts(tag: str, language: str) -> None:
    assert language_of(tag, ALL) == language


def test_no_tag_names_no_language() -> None:
    assert language_of("", ALL) == ""


def test_a_language_that_is_not_spoken_is_refused_with_the_list() -> None:
    with pytest.raises(InvalidRequest, match="does not speak fr") as caught:
        language_of("fr-CA", ALL)
    error = caught.value
    assert (error.reason, error.field) == ("LANGUAGE_UNSUPPORTED", "language")
    assert error.metadata == {"supported": "zh,en,ja,es,ar"}


@pytest.mark.parametrize("tag", ["e", "en_US", "en-", "-en", "12", "日本語", "en us", "x" * 5000, "en\n"])
def test_what_is_no_tag_is_refused(tag: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        language_of(tag, ALL)
    assert (caught.value.reason, caught.value.field) == ("LANGUAGE_INVALID", "language")
    assert len(str(caught.value)) < 120
