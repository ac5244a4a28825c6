"""The rows of a ledger for programs: page by page, each with what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batch_share.errors import SettingsError
from batch_share.ledger.states import State
from batch_share.results.wording import reason_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from batch_share.ledger.reading import LedgerReader
    from batch_share.ledger.records import Row

_ACCESS: Final = {1: "read", 2: "write"}
_GONE: Final = "gone-"


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A row of a ledger: its number and cells in the sheet, its `state`, and why it is in it, in a sentence.

    `lead_id` and `user_id` are LeadSquared's, "" where the row is invalid; `user` is the user's name or e-mail
    address, else the Id. `access` is read, write or "" (it shares nothing). `until` is when its share ends, or
    would (UTC, without a zone; None: that is reckoned from when it is shared, for `minutes`). `revoke_id` is the
    request that takes the share back. If `is_in_sheet` is false, the sheet has lost the row since it was taken in.
    """

    row: int
    is_in_sheet: bool
    cells: Sequence[str]
    state: State
    reason: str
    lead_id: str
    user_id: str
    user: str
    access: str
    minutes: int | None
    until: datetime | None
    activity_id: str | None
    request_id: str | None
    revoke_id: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a ledger; `next` is where the following page begins, None if no row is left."""

    rows: Sequence[LedgerRow]
    next: str | None


async def page_of(
    ledger: LedgerReader, after: str | None, most: int, states: Collection[State | str] | None
) -> Page:
    """The rows that come after a place that an earlier page named. Raises SettingsError, LedgerError."""
    if most < 1:
        raise SettingsError("most", "at least 1")
    try:
        wanted = None if states is None else [State(each) for each in states]
    except ValueError:
        raise SettingsError("states", f"each is one of {', '.join(State)}") from None
    is_gone = after is not None and after.startswith(_GONE)
    try:
        last = -1 if after is None else int(after.removeprefix(_GONE))
    except ValueError:
        raise SettingsError(
            "after", "is not the `next` of a page", problem="The page is none that was named."
        ) from None
    found = await ledger.page((is_gone, last), most, wanted)
    users = await ledger.known_users()
    following = None
    if len(found) == most:
        row, _ = found[-1]
        following = f"{_GONE}{row.id}" if row.position is None else str(row.position)
    return Page([_shown(row, ends_at, users) for row, ends_at in found], following)


def _shown(row: Row, ends_at: datetime | None, users: dict[str | None, tuple[str, str]]) -> LedgerRow:
    asked = row.instruction
    user_id = asked.user_id if asked else ""
    return LedgerRow(
        row=row.sheet_row,
        is_in_sheet=row.position is not None,
        cells=row.cells,
        state=row.state,
        reason=reason_of(row),
        lead_id=asked.lead_id if asked else "",
        user_id=user_id,
        user=next(filter(None, users.get(user_id, ())), user_id),
        access=_ACCESS.get(asked.access, "") if asked and asked.action.shares else "",
        minutes=asked.duration if asked else None,
        until=ends_at or (asked.until if asked else None),
        activity_id=row.activity_id,
        request_id=row.request_id,
        revoke_id=row.revoke_id,
    )
