"""What `make demo` runs: a server, a voice from a clip, an utterance streamed in that voice, out/demo.wav.

The clip is of a speaker that the embedded model was not trained on.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import oncue

TEXT = "Hello. This is my own voice, made from one short clip. Please close the window before you leave."
CLIP = Path(__file__).parent.parent / "tests" / "clips" / "held-05.wav"
OUTPUT = Path("out") / "demo.wav"
VOICE_ID = "demo-voice"


async def main() -> None:
    """Speaks, and tells how it went."""
    OUTPUT.parent.mkdir(exist_ok=True)
    begin_s = time.perf_counter()
    async with oncue.LocalServer() as address, oncue.connect(address) as client:
        info = await client.info()
        print(f"server ready after {time.perf_counter() - begin_s:.1f} s, model {info.model} ({info.fingerprint})")
        voice = await register(client)
        print(f"voice {voice.id}: {voice.reference.duration_s:.1f} s of {CLIP.name}")
        await speak(client, voice, info.native_rate_hz)


async def register(client: oncue.Client) -> oncue.Voice:
    """The demo's voice, new from its clip each time."""
    try:
        await client.voices.delete(VOICE_ID)
    except oncue.NotFound:
        pass
    return await client.voices.create(VOICE_ID, CLIP, display_name="Demo")


async def speak(client: oncue.Client, voice: oncue.Voice, rate_hz: int) -> None:
    """Streams TEXT into OUTPUT."""
    stream = client.stream(TEXT, voice=voice, seed=1, pacing=oncue.Pacing(realtime=False))
    begin_s = time.perf_counter()
    first: oncue.AudioChunk | None = None
    with oncue.WavWriter(OUTPUT, rate_hz) as wav:
        async for chunk in stream:
            if first is None:
                first = chunk
                first_s = time.perf_counter() - begin_s
            wav.write(chunk.pcm16)
    stats = stream.stats
    if first is None or stats is None:
        raise SystemExit("the server sent no audio")
    audio_s = stats.total_samples / rate_hz
    print(f"first audio after {first_s:.3f} s, with {first.codes_generated} of {stats.total_codes} codes generated")
    print(f"{audio_s:.2f} s of speech in {stats.generation_s:.2f} s (RTF {stats.generation_s / audio_s:.2f}): {OUTPUT}")


if __name__ == "__main__":
    asyncio.run(main())
