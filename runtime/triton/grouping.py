"""Run the requests that Triton groups: check each, run them together, and split the outputs.

An error of one request fails only that one: if a group fails, each of its requests runs alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...errors import AttnexportError, StageError, first_line
from ..spec import Axis, TensorSpec, check_feeds

Arrays = Mapping[str, np.ndarray]
Run = Callable[[dict[str, np.ndarray]], Arrays]
_Kind = tuple[int, tuple[tuple[int, ...], ...]]
"""The rows of a request, and the shapes without the rows."""
_REMEMBERED = 1024


class Grouping:
    """Runs requests by ``run``, for a model with these ``inputs``.

    ``batch`` is the range of the batch of ``run``, None if every request runs alone.
    """

    def __init__(self, run: Run, inputs: Sequence[TensorSpec], batch: Axis | None) -> None:
        self._run, self._batch = run, batch
        self._inputs = tuple(inputs) if batch is None else tuple(_from_one_row(spec) for spec in inputs)
        self._kinds: dict[object, _Kind] = {}

    def __call__(self, requests: Sequence[Arrays]) -> list[Arrays | AttnexportError]:
        """Return outputs by name, or the error, for each request in order."""
        answers: list[Arrays | AttnexportError | None] = [None] * len(requests)
        valid: list[tuple[int, _Kind]] = []
        for i, feeds in enumerate(requests):
            try:
                valid.append((i, self._kind(feeds)))
            except AttnexportError as error:
                answers[i] = error
        for group, counts in self._groups(valid):
            for i, answer in zip(group, self._answers([requests[i] for i in group], counts), strict=True):
                answers[i] = answer
        return [answer for answer in answers if answer is not None]

    def _kind(self, feeds: Arrays) -> _Kind:
        """The kind of a request. Raise InputError if the model does not accept it.

        The result depends on names, shapes and dtypes only, and is remembered.
        """
        key = tuple([(name, array.shape, array.dtype) for name, array in feeds.items()])
        kind = self._kinds.get(key)
        if kind is None:
            check_feeds(self._inputs, feeds)
            shapes = tuple(feeds[spec.name].shape[1:] for spec in self._inputs)
            kind = (1 if self._batch is None else len(feeds[self._inputs[0].name]), shapes)
            if len(self._kinds) >= _REMEMBERED:
                self._kinds.clear()
            self._kinds[key] = kind
        return kind

    def _groups(self, valid: Sequence[tuple[int, _Kind]]) -> list[tuple[list[int], list[int]]]:
        """Requests that fit into one run, with their rows: equal shapes, and at most the rows of the batch."""
        if self._batch is None:
            return [([i], [1]) for i, _ in valid]
        groups: list[tuple[list[int], list[int]]] = []
        newest: dict[object, tuple[list[int], list[int]]] = {}
        for i, (rows, shapes) in valid:
            group = newest.get(shapes)
            if group is None or sum(group[1]) + rows > self._batch.max:
                group = newest[shapes] = [], []
                groups.append(group)
            group[0].append(i)
            group[1].append(rows)
        return groups

    def _answers(self, group: list[Arrays], counts: list[int]) -> list[Arrays | AttnexportError]:
        try:
            return list(self._together(group, counts))
        except Exception as error:  # every error of a backend is an answer; the server continues
            if len(group) > 1:
                return [self._answers([arrays], [rows])[0] for arrays, rows in zip(group, counts, strict=True)]
            return [error if isinstance(error, AttnexportError) else StageError("run", first_line(error))]

    def _together(self, group: list[Arrays], counts: list[int]) -> list[Arrays]:
        if self._batch is None:
            return [self._run(dict(group[0]))]
        feeds = dict(group[0])
        if len(group) > 1:
            feeds = {name: np.concatenate([arrays[name] for arrays in group]) for name in feeds}
        total = sum(counts)
        rows = max(total, self._batch.min)
        if rows > total:  # rows are independent: repeat the last one
            repeats = [1] * (total - 1) + [rows - total + 1]
            feeds = {name: np.repeat(array, repeats, 0) for name, array in feeds.items()}
        outputs = self._run(feeds)
        for name, array in outputs.items():
            if array.shape[:1] != (rows,):
                raise StageError("run", f"output {name!r} has shape {array.shape} for {rows} rows")
        answers: list[Arrays] = []
        start = 0
        for count in counts:
            answers.append({name: array[start : start + count] for name, array in outputs.items()})
            start += count
        return answers


def _from_one_row(spec: TensorSpec) -> TensorSpec:
    """The same input, which also accepts fewer rows than the batch's minimum."""
    first = spec.axes[0]
    return replace(spec, axes=(replace(first, min=1, opt=max(first.opt, 1)), *spec.axes[1:]))
