"""A pipeline to compare with, by its name. They know the networks of IndexTTS2, and no other kind of model."""

from __future__ import annotations

from ..conditioning import Conditioner
from ..errors import Unsupported
from ..kinds.indextts2 import IndexTTS2
from ..model_interface import SpeechModel
from ..options import PipelineName, ResolvedOptions
from .crossfade import CrossFadeWay
from .naive import NaiveWay
from .serial import SerialPipeline

__all__ = ["open_baseline"]


def open_baseline(
    name: PipelineName, model: SpeechModel, conditioner: Conditioner, options: ResolvedOptions, *, max_live: int
) -> SerialPipeline:
    """One request after the other, with all the threads there are. Unsupported PIPELINE_UNSUPPORTED."""
    if not isinstance(model, IndexTTS2):
        raise Unsupported("the pipelines to compare with speak IndexTTS2 only", reason="PIPELINE_UNSUPPORTED")
    way = (NaiveWay if name == "naive" else CrossFadeWay)(model.networks)
    threads = max(options.lanes, options.threads)
    return SerialPipeline(conditioner, way, max_live=max_live, threads=threads)
