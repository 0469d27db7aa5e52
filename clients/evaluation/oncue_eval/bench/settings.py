"""What is measured: fixed texts, how many listeners, how they come, and how many utterances that takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from oncue_eval.material import everyday_sentences

__all__ = ["FULL", "QUICK", "Setting", "Suite", "text"]


@dataclass(frozen=True, slots=True)
class Setting:
    """Listeners of one kind, and how many utterances they hear in all."""

    concurrency: int
    """Streams at once; with Poisson arrivals, on average."""
    sentences: int
    """In every text."""
    utterances: int
    paced: bool = True
    """Listeners in real time. False: as fast as it goes, each stream's next utterance right after its last."""
    poisson: bool = False
    """Paced streams come one by one, at random. False: all at once, and the next ones when all have ended."""


@dataclass(frozen=True, slots=True)
class Suite:
    """All that one run measures of our own system, and how much of the others."""

    settings: tuple[Setting, ...]
    throughput: tuple[Setting, ...]
    """Not paced. The first is what the others are compared with."""
    long_sentences: int
    """Of the text whose time to first audio is compared with that of one sentence."""
    length_pairs: int
    gap_free_sentences: int
    """Of the texts that ever more streams speak, until one has a gap."""
    gap_free_most: int
    equal_utterances: int
    """Spoken alone and in a crowd."""
    others: tuple[Setting, ...]
    """Of `naive` and `crossfade`; not paced, as those that are timed against them."""
    seam_texts: int | None
    """None: all."""

    def limited(self, concurrency: int | None, utterances: int | None, sentences: int | None) -> Suite:
        """The same with one number of streams, and with at most so many utterances and sentences."""

        def cap(usual: int, most: int | None) -> int:
            return usual if most is None else min(usual, most)

        def limit(settings: tuple[Setting, ...], streams: int | None) -> tuple[Setting, ...]:
            limited: dict[tuple[int, int, bool, bool], Setting] = {}
            for setting in settings:
                smaller = replace(
                    setting,
                    concurrency=streams or setting.concurrency,
                    utterances=cap(max(setting.utterances, streams or 1), utterances),
                    sentences=cap(setting.sentences, sentences),
                )
                # What has become the same setting is measured once.
                limited.setdefault((smaller.concurrency, smaller.sentences, smaller.paced, smaller.poisson), smaller)
            return tuple(limited.values())

        return replace(
            self,
            settings=limit(self.settings, concurrency),
            throughput=limit(self.throughput, concurrency),
            long_sentences=cap(self.long_sentences, sentences),
            length_pairs=cap(self.length_pairs, utterances),
            gap_free_sentences=cap(self.gap_free_sentences, sentences),
            gap_free_most=concurrency or self.gap_free_most,
            equal_utterances=cap(self.equal_utterances, utterances),
            others=limit(self.others, None),
            seam_texts=utterances if self.seam_texts is None else cap(self.seam_texts, utterances),
        )


QUICK = Suite(
    settings=(Setting(1, 1, 20), Setting(4, 1, 24), Setting(1, 10, 2), Setting(4, 10, 4)),
    throughput=(Setting(1, 10, 1, paced=False), Setting(8, 10, 8, paced=False)),
    long_sentences=10,
    length_pairs=20,
    gap_free_sentences=3,
    gap_free_most=32,
    equal_utterances=12,
    others=(Setting(1, 1, 3, paced=False),),
    seam_texts=None,
)
"""At most ten minutes on two cores."""

_STREAMS = (1, 2, 4, 6, 8, 12, 16)

FULL = Suite(
    settings=tuple(
        Setting(streams, sentences, max(least, streams * rounds), poisson=poisson)
        for sentences, least, rounds in ((1, 40, 4), (3, 20, 2), (10, 6, 1))
        for streams in _STREAMS
        for poisson in (False, True)
        if streams > 1 or not poisson
    ),
    throughput=tuple(Setting(streams, 10, 2 * streams, paced=False) for streams in _STREAMS),
    long_sentences=10,
    length_pairs=40,
    gap_free_sentences=10,
    gap_free_most=64,
    equal_utterances=104,
    others=tuple(Setting(1, sentences, 4, paced=False) for sentences in (1, 3, 10)),
    seam_texts=None,
)


def text(number: int, sentences: int) -> str:
    """Everyday sentences from the `number`-th on, round and round: texts of one number begin alike at every length."""
    lines = everyday_sentences()
    return " ".join(lines[(number + k) % len(lines)] for k in range(sentences))
