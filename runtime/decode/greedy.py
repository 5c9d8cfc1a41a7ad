"""Greedy decoding: the likeliest token at every step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .decoder import Decoder, Hypothesis, check_limit, row_count


def greedy(decoder: Decoder, feeds: Mapping[str, np.ndarray], *, start: int, end: int, limit: int) -> list[Hypothesis]:
    """Decode a batch, a hypothesis per row, whose score is its log-probability.

    ``feeds``: the encoder's inputs. ``start`` and ``end`` are token numbers, ``limit`` the most
    tokens per row, including the end. Of equally likely tokens the first is taken. A row that has
    ended stays in the batch, fed with ``end``, until all have. Raise InputError for a limit below
    1.
    """
    check_limit(limit)
    rows = decoder.encode(feeds)
    count = row_count(rows)
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
