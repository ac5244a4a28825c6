"""What a run tells programs and logs of itself: events with fields, through the standard logger `batch_share`.

Nothing of structlog or logging is configured for the whole process: a program keeps its own. Without a handler the
events go nowhere. The command line's go to a file of JSON lines, and as readable lines to a person who asks.
Who leads and users are must not stand in an event.
"""

from __future__ import annotations

import json
import logging
import os
import re
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from io import TextIOWrapper
    from pathlib import Path

    from structlog.typing import EventDict, Processor, WrappedLogger

_PERSONAL: Final = (
    (re.compile(r"[^\s@<>'\"(),;]+@[^\s@<>'\"(),;]+"), "<e-mail>"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\d(?:[ -]?\d){5,}"), "<digits>"),
)


def masked(words: object) -> str:
    """The words without what could say who a person is."""
    text = str(words)
    for personal, mask in _PERSONAL:
        text = personal.sub(mask, text)
    return text


LOGGER: Final = logging.getLogger("batch_share")
LOGGER.addHandler(logging.NullHandler())

_BLANK: Final[Mapping[str, str | None]] = MappingProxyType(
    {"run": None, "command": None, "ledger": None, "account": None}
)
# Not structlog's own context variables: those belong to the program that uses this one.
_CONTEXT: Final[ContextVar[Mapping[str, str | None]]] = ContextVar("batch_share_log", default=_BLANK)


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Give all events of the body these fields, and whatever `bind_run` adds."""
    before = _CONTEXT.set({**_CONTEXT.get(), **fields})
    try:
        yield
    finally:
        _CONTEXT.reset(before)


def bind_run(run_id: str) -> None:
    """Give all events from here on, to the end of `about`, the Id of their run."""
    _CONTEXT.set({**_CONTEXT.get(), "run": run_id})


def _with_context(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {**_CONTEXT.get(), **event}


log: Final[structlog.stdlib.BoundLogger] = structlog.wrap_logger(
    LOGGER,
    processors=[
        structlog.stdlib.filter_by_level,
        _with_context,
        structlog.stdlib.render_to_log_kwargs,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    context_class=dict,
    cache_logger_on_first_use=True,
)


FILE_NAME: Final = "batch-share.log"
MAX_BYTES: Final = 5_000_000
"""Of one file: what an editor still opens at once."""

FILES: Final = 5
"""With the one that is written now: a debug log of about 100,000 calls."""

_CONTEXT_FIELDS: Final = {"command", "ledger", "account", "run"}


class LogFile(RotatingFileHandler):
    """JSON lines in a file that only its owner may read. Raises OSError if it can't be opened.

    That it can't be written later is told once, in one sentence; the work goes on.
    """

    def __init__(self, folder: Path, tell: Callable[[str], object]) -> None:
        self._tell, self._is_reported = tell, False
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        super().__init__(folder / FILE_NAME, maxBytes=MAX_BYTES, backupCount=FILES - 1, encoding="utf-8")
        self.setFormatter(_formatter(structlog.processors.JSONRenderer(ensure_ascii=False, default=str)))

    def _open(self) -> TextIOWrapper:
        # Not Path.open: it takes no opener, and a file must never be there with more rights than it may have.
        return open(self.baseFilename, "a", encoding=self.encoding, opener=_private)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - as logging names it
        """Logging's own would print a traceback for every line."""
        if not self._is_reported:
            self._is_reported = True
            self._tell(f"The log {self.baseFilename} can no longer be written; the work continues without it.")


class LineHandler(logging.Handler):
    """Readable lines, each given to `show`."""

    def __init__(self, show: Callable[[str], object]) -> None:
        super().__init__()
        self._show = show
        self.setFormatter(_formatter(_readable))

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        self._show(self.format(record))


def open_log(folder: Path, tell: Callable[[str], object]) -> LogFile | None:
    """The log file of a folder; None, which is told in one sentence, if there can't be one."""
    try:
        return LogFile(folder, tell)
    except OSError as error:
        tell(
            f"No log is written: the folder {folder} can't be ({error.strerror}); set BATCH_SHARE_LOG_FOLDER to "
            "one that can."
        )
        return None


@contextmanager
def attached(*handlers: logging.Handler | None, level: int) -> Iterator[None]:
    """Let these handlers hear what is logged at `level` or above."""
    given = [handler for handler in handlers if handler is not None]
    before = LOGGER.level
    LOGGER.setLevel(level if given else before)
    for handler in given:
        LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.setLevel(before)
        for handler in given:
            LOGGER.removeHandler(handler)
            with suppress(OSError, ValueError):  # a full disk must not take the place of how the work ended
                handler.close()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _formatter(renderer: Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ExtraAdder(),
            _in_order,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            renderer,
        ]
    )


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Time and level first, both of the record: a line tells when it happened, not when it was written."""
    record: logging.LogRecord = event["_record"]
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return {"time": time.replace("+00:00", "Z"), "level": record.levelname.lower(), **event}


def _readable(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    reported = {name: value for name, value in event.items() if name not in _CONTEXT_FIELDS}
    time, level, what = reported.pop("time"), reported.pop("level"), reported.pop("event")
    fields = "".join(
        f" {name}={value if isinstance(value, str) and value.isalnum() else json.dumps(value, default=str)}"
        for name, value in reported.items()
    )
    return f"{time[11:19]}Z {level:<7} {what}{fields}".rstrip()
