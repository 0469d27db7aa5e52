"""Cuts a text's pieces into segments, each spoken in one run of the T2S (spec 2.4).

`split` is the public rule: a cut at every comma, hyphen and sentence end, then neighbours packed back together up to
the limit. Two faults of it are mended in it, on purpose:

1. A quote after a sentence end was spoken twice, at the end of one segment and at the start of the next. Here it goes
   to the closed segment only, and only if that keeps within the limit.
2. Where the public code fails on pieces it cannot place, here there is always a result: joined together the segments
   are the pieces, in order, none lost and none twice, and no segment is longer than the limit.

`split_at_sentences` is what is served, with the same budget, and mends the rule itself:

3. Packing paid no regard to sentences, so that a segment could end in mid-sentence with most of the next one's budget
   unused. Here whole sentences are packed first; only a sentence longer than the limit is cut at commas, then hyphens,
   then hard, into parts of even length.
4. A hard cut could fall inside a word. Here it falls before the start of one, unless a word alone is too long.
5. An exclamation mark with a blank before it, and several marks in one piece ("?!", "!!"), did not end a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from oncue_engine.errors import InvalidRequest

__all__ = ["split", "split_at_sentences"]

_SENTENCE_ENDS = frozenset((".", "!", "?", "▁.", "▁?", "▁..."))
_COMMAS = frozenset((",", "▁,"))
_HYPHENS = frozenset(("-",))
_QUOTES = frozenset(("'", "▁'"))
_END_MARKS = ".!?"
_MIN_CLOSED = 3
"""A sentence end closes a segment only from this many pieces on."""


def split(pieces: Sequence[str], limit: int, quick: int = 0) -> list[range]:
    """Index ranges of the segments of `pieces`, at most `limit` pieces each, by the public rule.

    `quick`: as long as no more than this many pieces have been placed, segments stay as short as the cuts allow (unless
    two fit in half the limit), so that speech can start early. Raises InvalidRequest (reason `SEGMENT_LIMIT`) for a
    limit below 1.
    """
    if limit < 1:
        raise InvalidRequest(f"a segment needs at least 1 piece, not {limit}", reason="SEGMENT_LIMIT")
    return _split(pieces, range(len(pieces)), _SENTENCE_ENDS, limit, quick)


def _split(pieces: Sequence[str], span: range, ends: frozenset[str], limit: int, quick: int) -> list[range]:
    parts: list[range] = []
    start = index = span.start
    while index < span.stop:
        piece = pieces[index]
        index += 1
        current = range(start, index)
        if piece in _COMMAS and ends is not _COMMAS:
            parts += _split(pieces, current, _COMMAS, limit, quick)
        elif piece in _HYPHENS and ends is not _HYPHENS:
            parts += _split(pieces, current, _HYPHENS, limit, quick)
        elif len(current) > limit:
            parts += [range(at, min(at + limit, index)) for at in range(start, index, limit)]
        elif piece in ends and len(current) >= _MIN_CLOSED:
            if index < span.stop and pieces[index] in _QUOTES and len(current) < limit:
                index += 1
            parts.append(range(start, index))
        else:
            continue
        start = index
    if start < span.stop:
        parts.append(range(start, span.stop))
    return _pack(parts, limit, quick)


def _pack(parts: Sequence[range], limit: int, quick: int) -> list[range]:
    packed: list[range] = []
    placed = 0
    for part in parts:
        placed += len(part)
        together = len(packed[-1]) + len(part) if packed else 0
        if packed and ((together <= limit and placed > quick) or together <= limit / 2):
            packed[-1] = range(packed[-1].start, part.stop)
        else:
            packed.append(part)
    return packed


def split_at_sentences(pieces: Sequence[str], limit: int, word_starts: Sequence[bool] | None = None) -> list[range]:
    """Index ranges of segments of at most `limit` pieces that end with a sentence wherever one fits whole.

    `word_starts` tells for every piece whether a word begins with it: hard cuts then fall between words.
    Raises InvalidRequest (reason `SEGMENT_LIMIT`) for a limit below 1.
    """
    if limit < 1:
        raise InvalidRequest(f"a segment needs at least 1 piece, not {limit}", reason="SEGMENT_LIMIT")
    segments: list[range] = []
    for sentence in _cut_after(pieces, range(len(pieces)), _is_sentence_end):
        if segments and len(segments[-1]) + len(sentence) <= limit and _ends_sentence(pieces, segments[-1]):
            segments[-1] = range(segments[-1].start, sentence.stop)
        else:
            segments += _fit(pieces, sentence, limit, word_starts)
    return segments


def _ends_sentence(pieces: Sequence[str], segment: range) -> bool:
    return any(_is_sentence_end(pieces[index]) for index in segment[-2:])


def _is_sentence_end(piece: str) -> bool:
    marks = piece.removeprefix("▁").rstrip("'")
    return bool(marks) and not marks.strip(_END_MARKS)


def _fit(pieces: Sequence[str], sentence: range, limit: int, word_starts: Sequence[bool] | None) -> list[range]:
    """A sentence whole, or cut at commas, hyphens or between words, into parts of even length."""
    if len(sentence) <= limit:
        return [sentence]
    for cuts in (_COMMAS, _COMMAS | _HYPHENS):
        clauses = _cut_after(pieces, sentence, cuts.__contains__)
        if max(map(len, clauses)) <= limit:
            return _even(clauses, limit)
    parts: list[range] = []
    for clause in clauses:
        parts += _hard_cuts(clause, limit, word_starts)
    return _even(parts, limit)


def _hard_cuts(clause: range, limit: int, word_starts: Sequence[bool] | None) -> list[range]:
    parts: list[range] = []
    start = clause.start
    while clause.stop - start > limit:
        left = clause.stop - start
        stop = start + -(-left // -(-left // limit))
        at = stop
        while word_starts is not None and at > start and not word_starts[at]:
            at -= 1
        parts.append(range(start, at if at > start else stop))
        start = parts[-1].stop
    parts.append(range(start, clause.stop))
    return parts


def _even(clauses: Sequence[range], limit: int) -> list[range]:
    """Neighbouring clauses joined up to `limit`, aiming at parts of even length."""
    total = sum(map(len, clauses))
    count = -(-total // limit)
    target = total / count
    parts: list[range] = []
    for clause in clauses:
        together = len(parts[-1]) + len(clause) if parts else 0
        if parts and together <= limit and together - target <= target - len(parts[-1]):
            parts[-1] = range(parts[-1].start, clause.stop)
        else:
            parts.append(clause)
    return parts


def _cut_after(pieces: Sequence[str], span: range, is_cut: Callable[[str], bool]) -> list[range]:
    """Cuts after every piece that is a cut, closing quotes and further cuts kept with it."""
    parts: list[range] = []
    start = span.start
    for index in span:
        following = pieces[index + 1] if index + 1 < span.stop else ""
        closing = is_cut(pieces[index]) or (pieces[index] in _QUOTES and index > start and is_cut(pieces[index - 1]))
        if closing and not is_cut(following) and not (is_cut(pieces[index]) and following in _QUOTES):
            parts.append(range(start, index + 1))
            start = index + 1
    if start < span.stop:
        parts.append(range(start, span.stop))
    return parts
