"""A lexicon over a real socket: what it changes, that nobody else has it, and what is refused."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncue.v1 import speech_service_pb2 as pb
from oncue.v1.speech_service_pb2_grpc import SpeechServiceStub
from oncue_engine.errors import CheckpointError
from oncue_engine.options import EngineOptions
from oncue_server.app import RunningServer, serving
from oncue_server.settings import Settings

from .asking import Refusal, Stubs, refusal_of, stream_request, stubs_of

TEXT = "The SQL of a GIF."
ENTRIES = (pb.LexiconEntry(term="sql", reading="sequel"), pb.LexiconEntry(term="GIF", pronunciation="JH IH1 F"))


def lexicon(*entries: pb.LexiconEntry) -> pb.Lexicon:
    return pb.Lexicon(entries=entries)


async def planned(stubs: Stubs, text: str = TEXT, *entries: pb.LexiconEntry) -> pb.PlanUtteranceResponse:
    utterance = pb.Utterance(text=text, lexicon=lexicon(*entries) if entries else None)
    return await stubs.speech.PlanUtterance(pb.PlanUtteranceRequest(utterance=utterance))


async def refused(stubs: Stubs, text: str, *entries: pb.LexiconEntry) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await planned(stubs, text, *entries)
    return refusal_of(caught.value)


async def spoken(stubs: Stubs, text: str, **utterance: Any) -> bytes:
    stream = stubs.speech.StreamSynthesize(stream_request(text, **utterance))
    return b"".join([event.audio.payload async for event in stream])


async def test_a_plan_shows_how_terms_are_said(stubs: Stubs) -> None:
    (segment,) = (await planned(stubs, TEXT, *ENTRIES)).segments
    assert segment.text == "The sequel of a <GIF|jh ih f>."
    assert (segment.char_begin, segment.char_end) == (0, len(TEXT))
    # Phones: dh ax, s iy k w ax l, ax v, ax, jh ih f, and the mark.
    assert segment.num_text_tokens == 15


async def test_a_lexicon_is_heard(stubs: Stubs) -> None:
    as_written = await spoken(stubs, "The sequel of a <GIF|jh ih f>.")
    assert as_written == await spoken(stubs, TEXT, lexicon=lexicon(*ENTRIES))
    assert as_written != await spoken(stubs, TEXT)
    clip = await stubs.speech.Synthesize(
        pb.SynthesizeRequest(utterance=pb.Utterance(text=TEXT, seed=7, lexicon=lexicon(*ENTRIES)))
    )
    assert clip.audio == as_written


async def test_nobody_else_has_it(server: RunningServer, stubs: Stubs) -> None:
    """Two clients at a time, each with readings of its own, and one with none."""

    async def texts(reading: str | None, times: int) -> set[str]:
        entries = [] if reading is None else [pb.LexiconEntry(term="SQL", reading=reading)]
        async with grpc.aio.insecure_channel(server.address) as channel:
            own = stubs_of(channel)
            return {(await planned(own, TEXT, *entries)).segments[0].text for _ in range(times)}

    found = await asyncio.gather(texts("sequel", 15), texts("squirrel", 15), texts(None, 15))
    assert found == [{"The sequel of a G I F."}, {"The squirrel of a G I F."}, {"The S Q L of a G I F."}]


@pytest.mark.parametrize(
    ("entries", "reason", "field", "limits"),
    [
        ([pb.LexiconEntry(term=f"t{n}", reading="x") for n in range(501)], "LEXICON_TOO_LONG", "", {"entries": "501"}),
        ([pb.LexiconEntry(reading="x")], "LEXICON_TERM_INVALID", "[0].term", {"max_chars": "100"}),
        ([ENTRIES[0], pb.LexiconEntry(term="SQL", reading="x")], "LEXICON_TERM_TWICE", "[1].term", {"first": "0"}),
        ([pb.LexiconEntry(term="a")], "LEXICON_READING_REQUIRED", "[0]", {}),
        ([pb.LexiconEntry(term="a", reading="")], "LEXICON_READING_INVALID", "[0].reading", {"chars": "0"}),
        (
            [ENTRIES[0], pb.LexiconEntry(term="a", pronunciation="ey qq")],
            "LEXICON_PRONUNCIATION_INVALID",
            "[1].pronunciation",
            {"part": "qq"},
        ),
        ([pb.LexiconEntry(term="a", reading="b", language="-")], "LEXICON_LANGUAGE_INVALID", "[0].language", {}),
    ],
)
async def test_what_is_refused(
    stubs: Stubs, entries: list[pb.LexiconEntry], reason: str, field: str, limits: dict[str, str]
) -> None:
    refusal = await refused(stubs, TEXT, *entries)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert refusal.field == f"utterance.lexicon.entries{field}"
    assert limits.items() <= refusal.limits.items()


async def test_an_annotation_that_is_no_pronunciation(stubs: Stubs) -> None:
    refusal = await refused(stubs, "A <GIF|gif> here")
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TEXT_PRONUNCIATION_INVALID")
    assert (refusal.field, refusal.limits["position"]) == ("utterance.text", "2")


async def test_a_term_that_is_said_twice_on_the_wire(stubs: Stubs) -> None:
    entry = b"".join(entry.SerializeToString() for entry in ENTRIES)  # a reading and a pronunciation in one message
    inside = b"\x0a" + bytes([len(entry)]) + entry
    utterance = pb.Utterance(text=TEXT).SerializeToString() + b"\x42" + bytes([len(inside)]) + inside
    raw = b"\x0a" + bytes([len(utterance)]) + utterance
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stubs.channel.unary_unary("/oncue.v1.SpeechService/PlanUtterance")(raw)
    refusal = refusal_of(caught.value)
    assert (refusal.reason, refusal.field) == ("ONEOF_CONFLICT", "utterance.lexicon.entries")


async def test_a_glossary_of_the_server(tiny_model_dir: Path, tmp_path: Path) -> None:
    """For everybody, and behind a request's own lexicon; a file that is wrong keeps the server from starting."""
    glossary = tmp_path / "glossary.yaml"
    glossary.write_text("SQL: squirrel\nGIF: {pronunciation: JH IH1 F}\n")
    server = Settings(
        model=str(tiny_model_dir),
        address="127.0.0.1:0",
        data_dir=tmp_path / "data",
        engine=EngineOptions(threads=1),
        glossary=glossary,
    )
    async with serving(server) as running, grpc.aio.insecure_channel(running.address) as channel:
        own = stubs_of(channel)
        assert (await planned(own)).segments[0].text == "The squirrel of a <GIF|jh ih f>."
        assert (await planned(own, TEXT, ENTRIES[0])).segments[0].text == "The sequel of a <GIF|jh ih f>."
    glossary.write_text("SQL: [squirrel]\n")
    with pytest.raises(CheckpointError, match=r"glossary\.yaml, line 1"):
        async with serving(server):
            pass


def test_the_program_says_what_is_wrong_with_a_glossary(tiny_model_dir: Path, tmp_path: Path) -> None:
    glossary = tmp_path / "glossary.yaml"
    glossary.write_text("API: A P I\nGIF: {pronunciation: gif}\n")
    arguments = ("serve", "--model", tiny_model_dir, "--data", tmp_path, "--address", "127.0.0.1:0")
    program = (sys.executable, "-m", "oncue.cli")
    served = subprocess.run(
        [*program, *map(str, arguments), "--glossary", str(glossary)], capture_output=True, text=True, timeout=120
    )
    assert (served.returncode, served.stdout) == (1, "")
    assert "glossary.yaml" in served.stderr and "'gif'" in served.stderr


# Anything at all

ANY = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.text(alphabet="aA1 .<|>ihjf", max_size=8)
)
ENTRY = st.builds(
    lambda term, kind, said, language: pb.LexiconEntry(term=term, language=language, **({kind: said} if kind else {})),
    ANY,
    st.sampled_from(["reading", "pronunciation", ""]),
    ANY,
    st.sampled_from([None, None, "en", "zh", "", "*"]),
)


@settings(max_examples=60, deadline=None)
@given(entries=st.lists(ENTRY, max_size=4))
def test_any_lexicon_is_taken_or_refused(server_address: str, entries: list[pb.LexiconEntry]) -> None:
    """A server in a process of its own: this test holds up the loop that the other one runs on."""
    message = pb.Utterance(text="a A1 <a|ey> .a. i", lexicon=lexicon(*entries))
    with grpc.insecure_channel(server_address) as channel:
        try:
            answer = SpeechServiceStub(channel).PlanUtterance(pb.PlanUtteranceRequest(utterance=message))
        except grpc.RpcError as error:
            refusal = refusal_of(error)
            assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
            assert refusal.reason.startswith(("LEXICON_", "TEXT_"))
            assert refusal.field.startswith(("utterance.lexicon", "utterance.text"))
        else:
            assert answer.segments
