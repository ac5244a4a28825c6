"""What a sheet's own ledger knows of its rows: what was sent is not sent again, and who they name is known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from batch_share.errors import SettingsError
from batch_share.ledger.opening import read_ledger
from batch_share.ledger.states import State
from batch_share.pipeline.compact import Numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import NewRow
    from batch_share.pipeline.directory import Directory
    from batch_share.settings import Settings

_STATES: Final = tuple(State)


@dataclass(slots=True)
class Before:
    """The rows that were sent before, or begun, by their keys. None, by default.

    `job` is the ledger's; `refusal` says why a run would not go on with it, which leaves nothing known.
    """

    job: str = ""
    refusal: str = ""
    _known: Numbers = field(default_factory=Numbers)

    async def learn(self, ledger: LedgerReader) -> None:
        """Take in what the ledger knows. Raises LedgerError."""
        async for key, state in ledger.sent():
            self._known.put(key, _STATES.index(state))

    def judged(self, rows: Iterable[NewRow]) -> Iterator[NewRow]:
        """The rows of a plan, those that were sent with the state that they are in."""
        for row in rows:
            state = self._known.get(row.key) if row.chosen else None
            yield row if state is None else replace(row, state=_STATES[state], reason=None)


async def before_of(ledger: Path, settings: Settings, directory: Directory) -> Before:
    """What is known of the rows by `ledger`, if there is one; `directory` learns who is. Raises LedgerError."""
    if not _holds_anything(ledger):
        return Before()
    async with read_ledger(ledger) as opened:
        facts, host = await opened.facts(), _host(settings)
        if host is not None and facts["host"] != host and await opened.sheet() is not None:
            return Before(refusal=f"the ledger {ledger.name} belongs to {facts['host']}, and the host is {host}")
        async for answer in opened.lookups():
            directory.learn([answer])
        before = Before(facts["job"])
        await before.learn(opened)
        return before


def _holds_anything(ledger: Path) -> bool:
    """A run that was killed as it began leaves an empty one."""
    return ledger.is_file() and ledger.stat().st_size > 0


def _host(settings: Settings) -> str | None:
    """The host that is set, None if none is: a plan needs no account."""
    try:
        return settings.account()[0]
    except SettingsError:
        return None
