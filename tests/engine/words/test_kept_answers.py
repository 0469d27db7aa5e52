"""Answers on disk: found again after a restart, and never an error in the way of speech."""

from __future__ import annotations

from pathlib import Path

import pytest

from oncue_engine.requests import EmotionWeights
from oncue_engine.words.kept_answers import KeptAnswers


def weights(happy: float) -> EmotionWeights:
    return EmotionWeights.as_told((happy, *([0.0] * 6), 0.3333333))


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_answers_are_found_again_and_belong_to_one_model(tmp_path: Path) -> None:
    kept = KeptAnswers(tmp_path / "new", "one")
    assert kept.find("happy") is None
    for text, happy in (("happy", 0.1), ("glad", 0.2), ("happy", 0.7)):
        kept.keep(text, weights(happy))
    again = KeptAnswers(tmp_path / "new", "one")
    assert again.find("happy") == kept.find("happy") == weights(0.7)
    assert again.find("glad") == weights(0.2)
    assert again.find("Glad") is None
    assert KeptAnswers(tmp_path / "new", "other").find("happy") is None


def test_texts_do_not_stand_on_disk(tmp_path: Path) -> None:
    KeptAnswers(tmp_path, "one").keep("a secret of the player's", weights(0.5))
    assert "secret" not in only_file(tmp_path).read_text()


def test_damage_costs_only_the_lines_that_it_hit(tmp_path: Path) -> None:
    kept = KeptAnswers(tmp_path, "one")
    for number in range(3):
        kept.keep(f"{number}", weights(number / 10))
    path = only_file(tmp_path)
    lines = [line for line in path.read_bytes().split(b"\n") if line]
    wrong = (b"\xff\xfe", b"[]", lines[1].replace(b"0.1,", b"NaN,"), lines[1].replace(b"0.1,", b"7.0,"))
    path.write_bytes(b"\n".join((lines[0], *wrong, lines[2][:-20])))
    torn = KeptAnswers(tmp_path, "one")
    assert [torn.find(f"{number}") for number in range(3)] == [weights(0.0), None, None]
    torn.keep("3", weights(0.3))
    torn.keep("4", weights(0.4))
    again = KeptAnswers(tmp_path, "one")
    assert [again.find(f"{number}") for number in (0, 3, 4)] == [weights(number / 10) for number in (0, 3, 4)]


def test_a_folder_that_cannot_be_written_keeps_answers_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    kept = KeptAnswers(tmp_path / "file", "one")
    kept.keep("happy", weights(0.5))
    assert kept.find("happy") == weights(0.5)
    assert "cannot be written" in caplog.text


def test_the_oldest_make_room(tmp_path: Path) -> None:
    kept = KeptAnswers(tmp_path, "one")
    for number in range(8200):
        kept.keep(f"{number}", weights(0.5))
    again = KeptAnswers(tmp_path, "one")
    for answers in (kept, again):
        assert answers.find("0") is None and answers.find("8199") == weights(0.5)
    assert len(only_file(tmp_path).read_text().splitlines()) < 8192
