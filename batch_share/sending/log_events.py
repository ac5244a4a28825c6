"""What the work tells the log: which events there are, and what each says. No names, addresses or lead Ids."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING

from batch_share.errors import AccountClosed
from batch_share.leadsquared.account import name_of_account
from batch_share.ledger.states import State
from batch_share.logs import about, log, masked
from batch_share.sending.onlookers import LONG_WAIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from batch_share.errors import BatchShareError
    from batch_share.leadsquared.protocol import Throttled
    from batch_share.ledger.records import Result, Row
    from batch_share.ledger.states import Stage
    from batch_share.ledger.store import Ledger
    from batch_share.sending.session import Connection, Session
    from batch_share.settings import Settings


@contextmanager
def of_job(ledger: Ledger, command: str, settings: Settings) -> Iterator[None]:
    """Let all events of the body say which command, ledger and account they are of."""
    with about(command=command, ledger=ledger.name.short, account=name_of_account(settings)):
        yield


@contextmanager
def from_start_to_end(session: Session) -> Iterator[None]:
    """The first and the last event of a job, whatever ends it."""
    began = monotonic()
    public = session.settings.public()
    log.info("started", settings={name: value for name, value in public.items() if name != "note"})
    try:
        yield
    finally:
        tally = session.tally
        if session.stop.error is not None:
            stopped_by(session.stop.error)
        log.info(
            "ended",
            rows=_counted(tally.states),
            calls=tally.calls,
            refusals=tally.refusals,
            stopped=session.stop.asked,
            seconds=round(monotonic() - began, 3),
        )


def stopped_by(error: BatchShareError) -> None:
    """The error that ends a job."""
    more = {"until": error.until.isoformat(timespec="seconds")} if isinstance(error, AccountClosed) else {}
    log.error("stopped by an error", error=type(error).__name__, words=masked(error), **more)


def planned(states: Mapping[State, int], to_do: Mapping[State, int], cut_off: int) -> None:
    """What is in the ledger, and what of it is to be sent, tried again or revoked."""
    log.info("planned", rows=_counted(states), to_do=_counted(to_do))
    if cut_off:
        log.warning("calls were under way when an earlier run was cut off", rows=cut_off)


def outcomes(rows: Sequence[Row], step: Stage, results: Sequence[Result]) -> None:
    """The rows that did not go well."""
    for row, result in zip(rows, results, strict=True):
        if result.state is State.UNKNOWN:
            log.warning("outcome unknown", row=row.sheet_row, step=str(step))
        elif result.state is State.FAILED:
            failed(row.sheet_row, step)


def failed(sheet_row: int, step: Stage) -> None:
    """A row that ends as failed."""
    log.info("row failed", row=sheet_row, step=str(step))


def refused(session: Connection, outcome: Throttled, *, bulk: bool) -> None:
    """One call too many, and the rate that is kept from now on."""
    pacer = session.bulk_pacer if bulk else session.pacer
    reported = str(outcome.rate) if outcome.rate else None
    log.warning(
        "refused as one call too many", bulk=bulk, pause=outcome.pause, reported=reported, rate=str(pacer.rate)
    )
    if outcome.pause is not None and outcome.pause > LONG_WAIT:
        until = datetime.now().astimezone() + timedelta(seconds=outcome.pause)
        log.warning("waiting as LeadSquared asked", until=until.isoformat(timespec="seconds"))


def _counted(states: Mapping[State, int]) -> dict[str, int]:
    return {str(state): count for state, count in states.items() if count}
