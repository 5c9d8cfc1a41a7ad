"""Greedy decoding, the likeliest token at every step, and beam search with length normalisation.

Source of the beam search: Wu et al., 2016, arXiv:1609.08144, equation 14; Vaswani et al., 2017,
section 6.1. Each row has ``width`` live hypotheses. At every step their continuations are taken in
order of probability until ``width`` of them stay live; those that end on the way are finished, with
the score ::

    log P(Y) / ((5 + |Y|) / 6)^alpha                          |Y| counts the end; alpha = 0: no normalisation

A row is done when it has ``width`` finished hypotheses and no live one can reach a better score
than the worst of them: its log-probability only falls, and the divisor is largest at the limit.
With a width of 1 and alpha = 0 this is greedy decoding.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...errors import InputError
from .decoder import Decoder, Hypothesis, Rows


def greedy(decoder: Decoder, feeds: Mapping[str, np.ndarray], *, start: int, end: int, limit: int) -> list[Hypothesis]:
    """Decode a batch, a hypothesis per row, whose score is its log-probability.

    ``feeds``: the encoder's inputs. ``start`` and ``end`` are token numbers, ``limit`` the most
    tokens per row, including the end. Of equally likely tokens the first is taken. A row that has
    ended stays in the batch, fed with ``end``, until all have. Raise InputError for a limit below
    1.
    """
    rows, count = _encoded(decoder, feeds, limit)
    last = np.full(count, start, np.int64)
    ended = np.zeros(count, np.bool_)
    total = np.zeros(count)
    tokens: list[np.ndarray] = []
    attended: list[np.ndarray] = []
    for _ in range(limit):
        scores, attention, rows = decoder.advance(rows, last)
        last = np.where(ended, end, scores.argmax(1))
        total += np.where(ended, 0.0, scores[np.arange(count), last])
        tokens.append(last)
        if attention is not None:
            attended.append(attention)
        ended |= last == end
        if ended.all():
            break
    result = []
    for row in range(count):
        chosen = [int(step[row]) for step in tokens]
        length = chosen.index(end) if ended[row] else len(chosen)
        seen = np.stack([step[row] for step in attended[: length + 1]]) if attended else None
        log_probability = float(total[row])
        result.append(Hypothesis(tuple(chosen[:length]), log_probability, log_probability, bool(ended[row]), seen))
    return result


def _encoded(decoder: Decoder, feeds: Mapping[str, np.ndarray], limit: int) -> tuple[Rows, int]:
    """The encoded rows and their number. Raise InputError for a limit below one token."""
    if limit < 1:
        raise InputError(f"limit {limit} is below 1", "give the most tokens that a row may get")
    rows = decoder.encode(feeds)
    return rows, len(next(iter((*rows.memory.values(), *rows.state.values()))))


def beam_search(
    decoder: Decoder,
    feeds: Mapping[str, np.ndarray],
    *,
    start: int,
    end: int,
    limit: int,
    width: int = 4,
    alpha: float = 0.6,
) -> list[list[Hypothesis]]:
    """Decode a batch: up to ``width`` hypotheses for every row, the best first; unfinished ones only if too few finished.

    ``feeds``, ``start``, ``end`` and ``limit`` are those of :func:`greedy`; the step runs on
    batches of rows times ``width``. Of equal candidates the better hypothesis' lower token comes
    first. Raise InputError for a limit or width below 1 or an alpha below 0.
    """
    if width < 1:
        raise InputError(f"beam width {width} is below 1", "give the hypotheses per row")
    if alpha < 0:
        raise InputError(f"alpha {alpha:g} is below 0", "give 0 for no length normalisation, or more")
    rows, count = _encoded(decoder, feeds, limit)
    beams = [_Beam(width, alpha, end, limit) for _ in range(count)]
    rows = rows.take(np.repeat(np.arange(count), width))
    last = np.full(count * width, start, np.int64)
    for length in range(1, limit + 1):
        scores, _, rows = decoder.advance(rows, last)
        parents = []
        for i, beam in enumerate(beams):
            kept, last[i * width : (i + 1) * width] = beam.extend(scores[i * width : (i + 1) * width], length)
            parents.append(i * width + kept)
        if all(beam.done for beam in beams):
            break
        rows = rows.take_state(np.concatenate(parents))
    return [beam.best() for beam in beams]


class _Beam:
    """The search of one row: live hypotheses, ranked, and finished ones."""

    def __init__(self, width: int, alpha: float, end: int, limit: int) -> None:
        self.width, self.alpha, self.end, self.limit = width, alpha, end, limit
        # The search starts with one hypothesis; the other places are empty.
        self.live = np.full(width, -np.inf)
        self.live[0] = 0.0
        self.tokens: list[tuple[int, ...]] = [()] * width
        self.finished: list[Hypothesis] = []
        self.done = False
        self.closest = math.inf

    def extend(self, scores: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Continue by one token with log-probabilities (width, V): the parent of each place, and its token."""
        parents, chosen = np.zeros(self.width, np.int64), np.full(self.width, self.end, np.int64)
        if self.done:
            return parents, chosen
        total = (self.live[:, None] + scores).ravel()
        live, followed, place = np.full(self.width, -np.inf), list(self.tokens), 0
        # Each hypothesis can end in one way only, so twice the width has enough live ones; one more gives the gap.
        before = np.inf
        for candidate in _largest(total, 2 * self.width + 1):
            if place == self.width or total[candidate] == -np.inf:
                self.closest = min(self.closest, float(before - total[candidate]) / length)
                break
            before = total[candidate]
            parent, token = divmod(int(candidate), scores.shape[1])
            if token == self.end:
                self._finish(self.tokens[parent], float(total[candidate]), length)
                continue
            live[place], parents[place], chosen[place] = total[candidate], parent, token
            followed[place] = (*self.tokens[parent], token)
            place += 1
        self.live, self.tokens = live, followed
        attainable = float(live.max()) / self._penalty(self.limit)
        worst = self.finished[-1].score if len(self.finished) == self.width else -np.inf
        self.done = worst >= attainable
        return parents, chosen

    def best(self) -> list[Hypothesis]:
        """The finished hypotheses by score, then those that reached the limit, up to the width."""
        unfinished = [
            Hypothesis(tokens, float(total), float(total) / self._penalty(self.limit), False)
            for tokens, total in zip(self.tokens, self.live, strict=True)
            if total > -np.inf
        ]
        ranked = (self.finished + unfinished)[: self.width]
        closest = self.closest
        if len(ranked) > 1 and ranked[0].finished == ranked[1].finished:
            longest = 1 + max(len(hypothesis.tokens) for hypothesis in ranked[:2])
            closest = min(closest, (ranked[0].score - ranked[1].score) / longest)
        return [replace(hypothesis, closest=closest) for hypothesis in ranked]

    def _finish(self, tokens: tuple[int, ...], total: float, length: int) -> None:
        self.finished.append(Hypothesis(tokens, total, total / self._penalty(length), True))
        self.finished.sort(key=lambda hypothesis: -hypothesis.score)
        del self.finished[self.width :]

    def _penalty(self, length: int) -> float:
        return float(((5 + length) / 6) ** self.alpha)


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """The indices of the ``count`` largest values, the largest first; of equal values the first."""
    count = min(count, len(values))
    enough = np.flatnonzero(values >= np.partition(values, -count)[-count])
    return enough[np.argsort(-values[enough], kind="stable")][:count]
