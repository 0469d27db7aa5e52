"""Speech, on cue: the client of an oncue server.

async with oncue.connect("127.0.0.1:50051") as client:
    voice = await client.voices.create("my-voice", "my_voice.wav")
    async for chunk in client.stream("Hello there.", voice=voice):
        play(chunk.samples, chunk.sample_rate_hz)
"""

from __future__ import annotations

from oncue.audio import AudioChunk, Clip, Encoding, SpeechStats, WavWriter
from oncue.client import Client, connect
from oncue.emotions import EMOTION_NAMES, Emotion, EmotionMixing, Emotions, Words
from oncue.errors import (
    AlreadyExists,
    Conflict,
    DeadlineExceeded,
    Denied,
    InvalidRequest,
    LengthInfeasible,
    NotFound,
    ServerFault,
    SpeechError,
    Unavailable,
    Unsupported,
)
from oncue.info import Limits, SegmentPlan, ServerInfo, UtterancePlan
from oncue.lexicon import Pronunciation, Reading
from oncue.local_server import LocalServer, ServerStartError
from oncue.references import ReferenceClip
from oncue.scheduling import Priority
from oncue.speech import Pacing, SpeechStart, SpeechStream
from oncue.stats import ServerStats, StageStats
from oncue.sync import SyncClient, SyncSpeechStream, connect_sync
from oncue.utterance import Sampling
from oncue.voices import Voice, Voices

__all__ = [
    "EMOTION_NAMES",
    "AlreadyExists",
    "AudioChunk",
    "Client",
    "Clip",
    "Conflict",
    "DeadlineExceeded",
    "Denied",
    "Emotion",
    "EmotionMixing",
    "Emotions",
    "Encoding",
    "InvalidRequest",
    "LengthInfeasible",
    "Limits",
    "LocalServer",
    "NotFound",
    "Pacing",
    "Priority",
    "Pronunciation",
    "Reading",
    "ReferenceClip",
    "Sampling",
    "SegmentPlan",
    "ServerFault",
    "ServerInfo",
    "ServerStartError",
    "ServerStats",
    "SpeechError",
    "SpeechStart",
    "SpeechStats",
    "SpeechStream",
    "StageStats",
    "SyncClient",
    "SyncSpeechStream",
    "Unavailable",
    "Unsupported",
    "UtterancePlan",
    "Voice",
    "Voices",
    "WavWriter",
    "Words",
    "connect",
    "connect_sync",
]
