"""How terms are said, through the SDK and the program, on a real server with the tiny model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import oncue
from oncue.cli.lexicon_file import read_lexicon
from oncue.lexicon import lexicon_message

TEXT = "The SQL of a GIF."
LEXICON = {"sql": "sequel", "GIF": oncue.Pronunciation("JH IH1 F")}
READ = "The sequel of a <GIF|jh ih f>."


async def test_a_plan_shows_how_terms_are_said(client: oncue.Client, voice: oncue.Voice) -> None:
    plan = await client.plan(TEXT, voice=voice, lexicon=LEXICON)
    assert [segment.text for segment in plan.segments] == [READ]
    assert (plan.segments[0].char_begin, plan.segments[0].char_end) == (0, len(TEXT))
    assert (await client.plan(TEXT, voice=voice)).segments[0].text == "The S Q L of a G I F."


async def test_stream_and_clip_are_said_so(client: oncue.Client, voice: oncue.Voice) -> None:
    clip = await client.synthesize(TEXT, voice=voice, seed=3, lexicon=LEXICON)
    stream = client.stream(TEXT, voice=voice, seed=3, lexicon=LEXICON, pacing=oncue.Pacing(realtime=False))
    assert b"".join([chunk.payload async for chunk in stream]) == clip.payload
    assert (await client.synthesize(READ, voice=voice, seed=3)).payload == clip.payload
    assert (await client.synthesize(TEXT, voice=voice, seed=3)).payload != clip.payload


async def test_languages(client: oncue.Client, voice: oncue.Voice) -> None:
    terms = {"GIF": [oncue.Reading("giff", "en-US"), oncue.Reading("动图", "zh")]}
    assert (await client.plan(TEXT, voice=voice, lexicon=terms)).segments[0].text == "The S Q L of a giff."


async def test_a_refusal_names_the_entry(client: oncue.Client, voice: oncue.Voice) -> None:
    with pytest.raises(oncue.InvalidRequest) as caught:
        await client.plan(TEXT, voice=voice, lexicon={"SQL": "sequel", "GIF": oncue.Pronunciation("gif")})
    assert caught.value.reason == "LEXICON_PRONUNCIATION_INVALID"
    assert caught.value.field == "utterance.lexicon.entries[1].pronunciation"


def test_what_no_request_can_express() -> None:
    assert lexicon_message(None) is lexicon_message({}) is None
    with pytest.raises(TypeError, match="'SQL'"):
        lexicon_message({"SQL": 5})  # type: ignore[dict-item]


def run(server_address: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "oncue.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=folder,
        env={**os.environ, "ONCUE_SERVER": server_address, "NO_COLOR": "1", "COLUMNS": "200"},
    )


def test_the_program_takes_a_file(server_address: str, voice: oncue.Voice, tmp_path: Path) -> None:
    terms = {"SQL": "sequel", "GIF": {"pronunciation": "JH IH1 F"}}
    (tmp_path / "terms.json").write_text(json.dumps(terms))
    planned = run(server_address, tmp_path, "plan", TEXT, "--voice", voice.name, "--lexicon", "terms.json", "--json")
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["segments"][0]["text"] == "The sequel of a <GIF|jh ih f>."
    for name, extra in (("a.wav", ("--lexicon", "terms.json")), ("b.wav", ())):
        said = run(server_address, tmp_path, "say", TEXT, "-o", name, "--voice", voice.name, "--seed", "5", *extra)
        assert said.returncode == 0, said.stderr
    assert (tmp_path / "a.wav").read_bytes() != (tmp_path / "b.wav").read_bytes()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "no terms"),
        ("{", "terms.json"),
        ('{"a": "b", "a": "c"}', "'a' is there twice"),
        ('{"a": 5}', "'a' is said"),
        ('{"a": {"en": 5}}', "'a' is said"),
        ('{"a": {}}', "'a' is said"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "terms.json").write_text(text)
    with pytest.raises(typer.BadParameter) as caught:
        read_lexicon(tmp_path / "terms.json")
    assert says in str(caught.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter):
        read_lexicon(tmp_path / "none.json")
    assert read_lexicon(None) is None
