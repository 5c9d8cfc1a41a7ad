"""Requests that Triton has grouped: held to the model one by one, run together, and given their own rows back.

What is wrong with one request is an error for that one alone: where a group fails, each of it runs by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...errors import AttnexportError, StageError, first_line
from ..spec import Axis, TensorSpec, check_feeds

Arrays = Mapping[str, np.ndarray]
Run = Callable[[dict[str, np.ndarray]], Arrays]


class Grouping:
    """Runs requests by ``run``, over a model with these ``inputs``.

    ``batch`` is the range of the batch that ``run`` takes, None where every request runs by itself.
    """

    def __init__(self, run: Run, inputs: Sequence[TensorSpec], batch: Axis | None) -> None:
        self._run, self._batch = run, batch
        self._inputs = tuple(inputs) if batch is None else tuple(_from_one_row(spec) for spec in inputs)

    def __call__(self, requests: Sequence[Arrays]) -> list[Arrays | AttnexportError]:
        """Outputs by name for each request, in their order, or what is wrong with it."""
        answers: list[Arrays | AttnexportError | None] = [None] * len(requests)
        sound: list[int] = []
        for i, feeds in enumerate(requests):
            try:
                check_feeds(self._inputs, feeds)
            except AttnexportError as error:
                answers[i] = error
            else:
                sound.append(i)
        for group in self._groups(requests, sound):
            for i, answer in zip(group, self._answers([requests[i] for i in group]), strict=True):
                answers[i] = answer
        return [answer for answer in answers if answer is not None]

    def _groups(self, requests: Sequence[Arrays], sound: Sequence[int]) -> list[list[int]]:
        """Requests that fit into one run: of equal shapes but for their rows, and no more rows than the batch holds."""
        if self._batch is None:
            return [[i] for i in sound]
        groups: list[list[int]] = []
        open_group: dict[tuple[tuple[int, ...], ...], tuple[list[int], int]] = {}
        for i in sound:
            shapes = tuple(requests[i][spec.name].shape[1:] for spec in self._inputs)
            rows = self._rows(requests[i])
            group, held = open_group.get(shapes, ([], 0))
            if not group or held + rows > self._batch.max:
                group, held = [], 0
                groups.append(group)
            group.append(i)
            open_group[shapes] = group, held + rows
        return groups

    def _answers(self, group: list[Arrays]) -> list[Arrays | AttnexportError]:
        try:
            return list(self._together(group))
        except Exception as error:  # whatever a backend raises is an answer; the server goes on
            if len(group) > 1:
                return [answer for alone in group for answer in self._answers([alone])]
            return [error if isinstance(error, AttnexportError) else StageError("run", first_line(error))]

    def _together(self, group: list[Arrays]) -> list[Arrays]:
        if self._batch is None:
            return [self._run(dict(group[0]))]
        counts = [self._rows(feeds) for feeds in group]
        total = sum(counts)
        feeds = dict(group[0])
        if len(group) > 1:
            feeds = {spec.name: np.concatenate([one[spec.name] for one in group]) for spec in self._inputs}
        if total < self._batch.min:  # rows do not know of each other: the last one stands in for those that lack
            feeds = {
                name: np.repeat(a, [1] * (total - 1) + [self._batch.min - total + 1], 0) for name, a in feeds.items()
            }
        outputs = self._run(feeds)
        for name, array in outputs.items():
            if array.shape[:1] != (max(total, self._batch.min),):
                raise StageError("run", f"output {name!r} has shape {array.shape} for {total} rows")
        ends = np.cumsum(counts)
        return [
            {name: array[end - count : end] for name, array in outputs.items()}
            for count, end in zip(counts, ends, strict=True)
        ]

    def _rows(self, feeds: Arrays) -> int:
        return len(feeds[self._inputs[0].name])


def _from_one_row(spec: TensorSpec) -> TensorSpec:
    """The same input, which also takes fewer rows than the batch's least."""
    first = spec.axes[0]
    return replace(spec, axes=(replace(first, min=1, opt=max(first.opt, 1)), *spec.axes[1:]))
