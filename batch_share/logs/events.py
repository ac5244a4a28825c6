"""The logger of all events, and what every one of them carries: command, ledger, account and run."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from structlog.typing import EventDict, WrappedLogger

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
