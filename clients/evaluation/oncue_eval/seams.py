"""Table 6, `seam_ratio`: can the joins of a stream be told from the rest of it?

`oncue seams`, a command of the server's package, renders the same tokens from the same noise in three ways: as they are
streamed, in one piece, and in chunks that do not know each other and are cross-faded. It runs beside the server, as a
process, because only the first of the three is something that a server speaks. What is heard of it is measured here.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oncue_eval.figures import Figure, Goal
from oncue_eval.material import voice_clips
from oncue_eval.seam_measure import measure_seams
from oncue_eval.subject import Subject

__all__ = ["LONG_TEXTS", "evaluate_seams"]

_OURS = 1.1
_BLUNT = 1.3

LONG_TEXTS = (
    "When the rain finally stopped, we packed our bags, locked the little house by the lake, and drove slowly back.",
    "The old captain told us that he had crossed the ocean more than forty times before he bought the little bakery.",
    "If you follow the path behind the mill, you will reach a wooden bridge and then a field full of yellow flowers.",
    "My aunt keeps her letters in a round box under the stairs, together with photographs that nobody has sorted.",
    "On the last evening of the festival, the whole town gathered by the river to watch the lanterns float away.",
    "The engineer explained that the tunnel would be closed for three more weeks because the pumps had to be replaced.",
    "She opened the shop at six in the morning, swept the floor, and put a pot of coffee on the small iron stove.",
    "Nobody knew why the clock in the tower had stopped, but everyone agreed that it was quieter than before.",
)


async def evaluate_seams(subject: Subject) -> AsyncIterator[Figure]:
    """`seam_ratio` of ours and of the cross-faded variant. Raises OSError where the renderings cannot be made."""
    if subject.model_option is None:
        why = "needs the model itself: run it without --server"
        yield subject.figure("seam_ratio", None, "6", Goal(at_most=_OURS), why=why)
        return
    texts = LONG_TEXTS[: subject.limit(len(LONG_TEXTS))]
    with tempfile.TemporaryDirectory() as name:
        subject.listener.progress(f"seams: {len(texts)} texts in three ways")
        made = await asyncio.to_thread(_renderings, subject.model_option, Path(name), texts)
    rate_hz = int(made[0]["rate_hz"])
    ours = measure_seams([(m["streamed"], m["whole"], m["joins"].tolist()) for m in made], rate_hz)
    cross = measure_seams([(m["crossfaded"], m["whole"], m["chunk_joins"].tolist()) for m in made], rate_hz)
    sharp = cross.ratio > _BLUNT
    yield subject.figure(
        "seam_ratio",
        cross.ratio,
        "6",
        Goal(at_least=_BLUNT),
        system="crossfade",
        joins=cross.joins,
        standard_error=cross.standard_error,
        **cross.ratios,
    )
    yield subject.figure(
        "seam_ratio",
        ours.ratio,
        "6",
        Goal(at_most=_OURS),
        system="oncue",
        joins=ours.joins,
        standard_error=ours.standard_error,
        **ours.ratios,
        **({} if sharp else {"why": "the measure does not even tell cross-faded chunks"}),
    )


def _renderings(model: str, folder: Path, texts: Sequence[str]) -> list[dict[str, npt.NDArray[Any]]]:
    """What `oncue seams` writes for each text. Blocks."""
    (folder / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    clip = folder / "voice.flac"
    clip.write_bytes(next(iter(voice_clips().values())).encoded)
    command = [
        # -P: what lies in the working folder, a stale install among it, does not count.
        *(sys.executable, "-P", "-m", "oncue.cli", "seams", str(folder / "texts.txt"), str(folder)),
        *("--model", model, "--voice", str(clip)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"oncue seams failed: {done.stderr.strip()[-500:]}")
    made = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            made.append({key: data[key] for key in data.files})
    return made
