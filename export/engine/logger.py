"""TensorRT's messages, collected instead of printed.

TensorRT uses one logger per process and library (the first one), so each module has one logger here that exists as
long as the process. A :class:`Recording` keeps the messages that arrive while it is open.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...runtime import whereabouts

# ILogger.Severity as numbers, equal in every version.
ERROR, WARNING, INFO, VERBOSE = 1, 2, 3, 4
LAYER_LISTING = "Layers:"
_PARSES = "Parsing node"
"""A verbose message for each node, before it is parsed."""

_WHERE = re.compile(r"\s*\(?\s*\bIn \S+ at \S+:\d+\s*(\(cudaError[^)]*\))?\s*\)?")  # places in TensorRT's source
_FILE = re.compile(r"^\w+\.cpp:\d+: |\[\w+\.cpp:\d+: \w+\] ")
_CODE = re.compile(r"^(?:\S+: )?Error Code \d+: ")
_CUDA = re.compile(r"cudaError \d+: ([^()]*)")
_ECHO = re.compile(r"^\[checkMacros\.cpp|^ModelImporter\.cpp:\d+: (?:While parsing|--- )")  # repeats another message


class Recording:
    """Errors, warnings and infos of a build, in order; of the verbose messages, only the builder's layer listing."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, str]] = []

    def take(self, severity: int, text: str) -> None:
        """Keep a message if it is useful."""
        if severity < VERBOSE or text.startswith(LAYER_LISTING):
            self.messages.append((severity, text))

    def texts(self, severity: int) -> list[str]:
        """The messages of one severity, cleaned and without duplicates, in order. Internal errors count as errors."""
        texts = [clean(t) for s, t in self.messages if max(s, ERROR) == severity and not _ECHO.match(t)]
        return list(dict.fromkeys(text for text in texts if text))

    def raw(self, prefix: str) -> list[str]:
        """The messages that start with ``prefix``, as TensorRT wrote them."""
        return [text for _, text in self.messages if text.startswith(prefix)]


def clean(text: str) -> str:
    """Return a message on one line, without error numbers and places in TensorRT's source.

    ``IBuilder::build: Error Code 4: API Usage Error (Network has ... In validate at /_src/a.cpp:1)`` becomes
    ``Network has ...``.
    """
    kept = "\n".join(line for line in text.splitlines() if not _ECHO.match(line))
    cuda = _CUDA.search(kept)
    short = _FILE.sub("", _WHERE.sub("", _CODE.sub("", kept))).strip()
    if short.count("(") > short.count(")"):
        kind, _, reason = short.partition("(")
        short = ": ".join(part.strip() for part in (kind.replace("API Usage Error", ""), reason) if part.strip())
    if cuda and cuda[1] not in short:
        short = f"{short}: {cuda[1]}"
    return " ".join(short.split()).rstrip(".")


class Collector:
    """The state of a TensorRT logger: passes each message to the open recordings. Never raises or prints."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turn = threading.RLock()
        self._open: list[Recording] = []

    def take(self, severity: int, text: str) -> None:
        """Take a message; TensorRT calls this from any of its threads."""
        if text.startswith(_PARSES):
            whereabouts.at_work("TensorRT's parser,", text.split("\n")[0])
        with self._lock:
            for recording in self._open:
                recording.take(severity, text)

    @contextmanager
    def recording(self) -> Iterator[Recording]:
        """Collect until the block ends. One thread at a time: a message does not name its build."""
        with self._turn:
            recording = Recording()
            with self._lock:
                self._open.append(recording)
            try:
                yield recording
            finally:
                with self._lock:
                    self._open.remove(recording)


_LOGGERS: dict[str, tuple[Any, Collector]] = {}
_LOGGERS_LOCK = threading.Lock()


def logger_of(trt: Any) -> tuple[Any, Collector]:
    """The one ``trt.ILogger`` of this process for the module ``trt``, and its collector."""
    with _LOGGERS_LOCK:
        if trt.__name__ not in _LOGGERS:
            collector = Collector()
            _LOGGERS[trt.__name__] = (_make(trt, collector), collector)
        return _LOGGERS[trt.__name__]


def _make(trt: Any, collector: Collector) -> Any:
    class CollectingLogger(trt.ILogger):  # type: ignore[misc]  # the module of the base class is known at run time only
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            collector.take(int(severity), msg)

    return CollectingLogger()
