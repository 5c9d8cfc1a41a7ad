"""The log of a server: one line per event, as JSON for machines or as text for people."""

import json
import threading
from datetime import datetime, timezone
from typing import Any, Literal, Protocol, TextIO

Level = Literal["debug", "info", "warning", "error"]
LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")
FORMATS = ("auto", "json", "text")


class Log(Protocol):
    """A function that logs an event."""

    def __call__(self, level: Level, event: str, message: str, **fields: Any) -> None:
        """Log one event: its level, a keyword, a sentence, and its values."""


class LineLog:
    """Writes each event as one line to a stream, from any thread. ``form`` auto: text in a terminal, otherwise JSON.

    A JSON line has ``time`` (UTC), ``level``, ``event``, ``message``, and the fields of the event.
    """

    def __init__(self, stream: TextIO, form: str = "auto", *, verbose: bool = False) -> None:
        self._stream = stream
        self._json = form == "json" or (form == "auto" and not stream.isatty())
        self._least = 0 if verbose else 1
        self._lock = threading.Lock()

    def __call__(self, level: Level, event: str, message: str, **fields: Any) -> None:
        """Write one event. A debug event is written only if the log is verbose."""
        if LEVELS.index(level) < self._least:
            return
        now = datetime.now(timezone.utc)
        if self._json:
            row = {"time": now.isoformat(timespec="milliseconds"), "level": level, "event": event, "message": message}
            line = json.dumps({**row, **fields}, default=str)
        else:
            mark = "" if level in ("debug", "info") else f"{level}: "
            line = f"{now.astimezone():%H:%M:%S} {event:<9} {mark}{message}"
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()
