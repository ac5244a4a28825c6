"""What a sheet's own ledger knows of its rows: what was sent is not sent again, and who they name is known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from batch_share.errors import LedgerError, SettingsError
from batch_share.ledger.files import read_ledger
from batch_share.ledger.states import NEVER_SENT, State
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

    `job` is the ledger's, `sheet` the name of the one in force; `refusal` says why a run would not go on with it,
    which leaves nothing known.
    """

    job: str = ""
    refusal: str = ""
    sheet: str = ""
    _known: Numbers = field(default_factory=Numbers)
    _any_sent: bool = False
    _any_met: bool = False

    async def learn(self, ledger: LedgerReader) -> None:
        """Take in what the ledger knows. Raises LedgerError."""
        sheet = await ledger.sheet()
        self.sheet = sheet.name if sheet else ""
        async for key, state in ledger.keys():
            self._known.put(key, _STATES.index(state))
            self._any_sent = self._any_sent or state not in NEVER_SENT

    def judged(self, rows: Iterable[NewRow]) -> Iterator[NewRow]:
        """The rows of a plan, those that were sent with the state that they are in."""
        for row in rows:
            number = self._known.get(row.key)
            self._any_met = self._any_met or number is not None
            state = State.PENDING if number is None else _STATES[number]
            is_planned = state in NEVER_SENT or not row.chosen
            yield row if is_planned else replace(row, state=state, reason=None)

    def refuses(self, sheet: str) -> str:
        """Why a run of the sheet called so would not begin, once its rows were judged; "" if it would."""
        if self._any_sent and not self._any_met and self.sheet != sheet:
            return f"the ledger is of the sheet {self.sheet}, and holds none of these rows"
        return self.refusal


async def before_of(ledger: Path, settings: Settings, directory: Directory) -> Before:
    """What is known of the rows by `ledger`, if there is one; `directory` learns who is. Raises LedgerError."""
    if not holds_anything(ledger):
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


def holds_anything(ledger: Path) -> bool:
    """A run that was killed as it began leaves an empty one. Raises LedgerError."""
    try:
        return ledger.is_file() and ledger.stat().st_size > 0
    except OSError as error:
        raise LedgerError(ledger, f"it can't be looked at ({error.strerror})") from None


def _host(settings: Settings) -> str | None:
    """The host that is set, None if none is: a plan needs no account."""
    try:
        return settings.account()[0]
    except SettingsError:
        return None
