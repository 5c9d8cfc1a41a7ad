"""Decode sources of any number and length with an encoder and a step, as the manifest describes, in turns if batches are limited."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ..bundle.sections import DecodeRecord
from ..sessions import Session
from ..spec import Axis, TensorSpec
from .decoder import Decoder, Hypothesis
from .search import beam_search, greedy


class SequenceDecoder:
    """Searches with two sessions, which it does not close.

    ``facts`` are the token numbers and the limit, ``source`` is the encoder's input (N, S) of token
    numbers, ``rows`` the batch of the step. More sources than fit are decoded in turns. Raise
    InputError, naming the tensor, if the sessions' names do not match.
    """

    def __init__(self, encoder: Session, step: Session, facts: DecodeRecord, source: TensorSpec, rows: Axis) -> None:
        self._decoder = Decoder(encoder, step)
        self.facts, self.source, self.rows = facts, source, rows

    def padded(self, sentences: Sequence[Sequence[int]]) -> np.ndarray:
        """Sources of any lengths as one array (N, S), padded at the end.

        Raise InputError for no tokens, and for a sentence that is too long for the encoder.
        """
        axis = self.source.axes[1]
        longest = max((len(tokens) for tokens in sentences), default=0)
        if not longest:
            raise InputError("no source tokens are given", f"give token numbers for {self.source.describe()}")
        if longest > axis.max:
            raise InputError(
                f"a source has {longest} tokens and the encoder takes {axis.max} at the most",
                f"it takes {self.source.describe()}",
            )
        padded = np.full((len(sentences), max(longest, axis.min)), self.facts.padding, self.source.numpy_dtype)
        for row, tokens in zip(padded, sentences, strict=True):
            check_tokens(self.source, tokens)
            row[: len(tokens)] = tokens
        return padded

    def greedy(self, source: np.ndarray, *, limit: int | None = None) -> list[Hypothesis]:
        """Decode sources (N, S) greedily. Raise InputError as :meth:`check` and for a limit that is not valid."""
        hypotheses: list[Hypothesis] = []
        for feed, taken in self._feeds(source, 1):
            hypotheses += greedy(
                self._decoder, feed, start=self.facts.start, end=self.facts.end, limit=self._limit(limit)
            )[:taken]  # fmt: skip
        return hypotheses

    def beam_search(
        self, source: np.ndarray, *, width: int = 4, alpha: float = 0.6, limit: int | None = None
    ) -> list[list[Hypothesis]]:
        """Up to ``width`` hypotheses for each of the sources (N, S), the best first; see :func:`beam_search`.

        Raise InputError as :meth:`greedy`, and for a beam that is too wide for the step's batch.
        """
        hypotheses: list[list[Hypothesis]] = []
        for feed, taken in self._feeds(source, width):
            hypotheses += beam_search(
                self._decoder, feed, start=self.facts.start, end=self.facts.end, limit=self._limit(limit),
                width=width, alpha=alpha,
            )[:taken]  # fmt: skip
        return hypotheses

    def forced(self, source: np.ndarray, targets: np.ndarray) -> Iterator[tuple[np.ndarray, int, np.ndarray]]:
        """Run the step with the tokens ``targets`` (N, T) instead of its own choices.

        Yield indices (n,) of sources, the place in 0..T-1, and the log-probabilities (n, V) of that
        place in FP64.
        """
        for indices, taken in turns(len(source), self.source.axes[0], self.rows):
            rows = self._decoder.encode({self.source.name: source[indices]})
            last = np.full(len(indices), self.facts.start, np.int64)
            for place in range(targets.shape[1]):
                scores, _, rows = self._decoder.advance(rows, last)
                yield indices[:taken], place, scores[:taken]
                last = targets[indices, place]

    def check(self, source: np.ndarray) -> None:
        """Compare sources with the encoder's input, except their number. Raise InputError with the first difference."""
        spec = self.source
        if source.ndim != 2 or source.dtype != spec.numpy_dtype or not len(source):
            raise InputError(f"sources are {source.dtype} {source.shape}", f"give {spec.describe()}")
        axis = spec.axes[1]
        if not axis.min <= source.shape[1] <= axis.max:
            raise InputError(f"sources have {source.shape[1]} tokens", f"the encoder takes {spec.describe()}")
        check_tokens(spec, source)

    def _feeds(self, source: np.ndarray, width: int) -> Iterator[tuple[dict[str, np.ndarray], int]]:
        self.check(source)
        if width < 1:
            raise InputError(f"beam width {width} is below 1", "give the hypotheses per row")
        for indices, taken in turns(len(source), self.source.axes[0], self.rows, width):
            yield {self.source.name: source[indices]}, taken

    def _limit(self, limit: int | None) -> int:
        if limit is None:
            return self.facts.limit
        if limit > self.facts.limit:
            raise InputError(
                f"limit {limit} is above {self.facts.limit}, what this decoder was exported for",
                "give a lower one, or export with --limit",
            )
        return limit


def turns(count: int, encoder: Axis, step: Axis, width: int = 1) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the indices of the sources of each turn, and how many of them count.

    ``encoder`` and ``step`` are the batches of the two, ``width`` the rows of the step per source
    (the beam width). Turns are as large as both allow; a turn that is too small repeats its last
    source, which does not count. Raise InputError if no number of sources fits.
    """
    least = max(encoder.min, -(-step.min // width))
    most = min(encoder.max, step.max // width)
    if least > most:
        raise InputError(
            f"a beam of {width} runs the step on {least * width} rows at least, and it takes {step.min} to {step.max}",
            f"export with --beam-width {width}, or search with a smaller beam",
        )
    for first in range(0, count, most):
        taken = min(most, count - first)
        indices = np.minimum(np.arange(first, first + max(taken, least)), first + taken - 1)
        yield indices, taken


def check_tokens(spec: TensorSpec, tokens: npt.ArrayLike) -> None:
    """Raise InputError for a token number outside the range of its input."""
    low, high, numbers = spec.low or 0, spec.high, np.asarray(tokens)
    outside = numbers[(numbers < low) | (numbers >= (np.inf if high is None else high))]
    if outside.size:
        most = f"to {high - 1}" if high is not None else "upwards"
        raise InputError(f"token {outside[0]} is out of range", f"{spec.name!r} takes whole numbers from {low} {most}")
