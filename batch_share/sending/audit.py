"""What stands at LeadSquared held against what the ledger says: is each activity there once, and no other?

All activities of the job's types in the time of its calls are read, a thousand to a call, and told by their
markers. Reads may lag behind writes, and no page says by how much: what is not shown proves nothing, what is shown
twice does.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from batch_share.common import plural
from batch_share.errors import BatchShareError
from batch_share.leadsquared.guesses import CLOCK_SKEW
from batch_share.leadsquared.protocol import TYPE_PAGE, activities_of_type, id_of
from batch_share.ledger.records import Posted
from batch_share.ledger.states import Stage
from batch_share.sending.steps import collect, in_note, marker_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from batch_share.ledger.reading import LedgerReader
    from batch_share.sending.session import Session

ASK_AGAIN_AFTER: Final = timedelta(minutes=15)
"""After the last call, when what lags behind is asked for again. The longest lag that somebody told of in public is
a few minutes."""

_LIST: Final = "ProspectActivity.svc/CustomActivity/RetrieveByActivityEvent"
"""The API that lists them, which an account may not have."""

MOST_NAMED: Final = 100
"""Findings that are kept with their Ids: who has more has one cause, which these show."""


class Verdict(StrEnum):
    """What an audit found out."""

    PROVED = "proved"
    """Every activity of the ledger is there once, and none of its rows has another."""

    DOUBLES = "doubles"
    """Activities are there that should not be."""

    NOT_CONCLUSIVE = "not conclusive"
    """Nothing wrong was seen, and not everything could be."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A row of the sheet with activities that should not be there: `extra` ones, beside the one that is `ours`.

    `ours` is None where by the ledger none was posted for the row, `shared` whether a share stands in its context.
    """

    sheet_row: int
    extra: Sequence[str]
    ours: str | None
    shared: bool


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found: of `expected` activities how many were `seen`, and what is wrong with which.

    `found` counts what is wrong, of which the first are `named`. `unread` says by type of activity why its list was
    not read to its end. What was not seen may be by `again` (UTC, without a zone); None if there is nothing to ask.
    """

    verdict: Verdict
    expected: int
    seen: int
    found: int = 0
    named: Sequence[Finding] = ()
    unread: Mapping[str, str] = field(default_factory=dict)
    again: datetime | None = None
    at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that stands under `audit`."""
        times = {"again": self.again, "at": self.at}
        return asdict(self) | {name: f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else None for name, at in times.items()}


async def audit(session: Session, since: datetime | None = None) -> Audit | None:
    """Look at the account's activities of the job's types, in the time of its calls, or of those after `since`.

    What was found is kept in the ledger. None if no activity was sent. No call that fails ends anything here: the
    work was done before. Raises PacerClosed.
    """
    ledger, most, posted = session.ledger, session.settings.audit_pages, dict[str, Posted]()
    async for each in ledger.posted(since):
        posted[each.marker] = each
        if len(posted) > most * TYPE_PAGE:  # a million of them would not be held in memory for nothing
            why = {"any": f"it would take more than {plural(most, 'page')}"}
            told = Audit(Verdict.NOT_CONCLUSIVE, len(posted), 0, unread=why, at=session.ledger.now())
            await ledger.note(audit=told.as_json())
            return told
    if not posted:
        return None
    session.tally.phase = "looking whether each activity is there once"
    skew, now = timedelta(seconds=CLOCK_SKEW), session.ledger.now()
    begun, last = (pick(each.sent_at for each in posted.values()) for pick in (min, max))
    views: dict[str, set[str]] = defaultdict(set)
    unread: dict[str, str] = {}
    for event in {each.event for each in posted.values()}:
        page = partial(activities_of_type, event, begun - skew, now + skew)
        try:
            found = await collect(session, event, page, most)
        except BatchShareError as error:
            unread[str(event)] = str(error)
            break
        for marker, activities in found.views.items():
            views[marker].update(activities)
        if found.problem is not None:
            unread[str(event)] = found.problem
    findings, seen = [], 0
    for marker, each in posted.items():
        extra = views[marker] - {id_of(each.activity_id or "")}  # a list may spell it as its post's answer did not
        seen += len(views[marker]) > len(extra)
        # One that nobody knows of in the ledger yet is what was lost: the next run adopts it.
        if extra and (each.activity_id is not None or each.is_refused or len(extra) > 1):
            findings.append(Finding(each.sheet_row, sorted(extra), each.activity_id, each.is_shared))
    if unknown := views.keys() - posted.keys():
        findings += await _not_posted(ledger, {marker: views[marker] for marker in unknown})
    wanted = sum(each.activity_id is not None for each in posted.values())
    is_whole = seen == wanted and not unread
    told = Audit(
        verdict=Verdict.DOUBLES if findings else Verdict.PROVED if is_whole else Verdict.NOT_CONCLUSIVE,
        expected=wanted,
        seen=seen,
        found=len(findings),
        named=sorted(findings, key=attrgetter("sheet_row"))[:MOST_NAMED],
        unread=unread,
        again=None if is_whole or _LIST in session.apis.gone else max(last + ASK_AGAIN_AFTER, now),
        at=now,
    )
    await ledger.note(audit=told.as_json())
    return told


async def _not_posted(ledger: LedgerReader, views: dict[str, set[str]]) -> list[Finding]:
    """Of activities that were not looked for, those of rows that by the ledger nothing was posted for."""
    async for marker in ledger.markers():  # of other runs
        views.pop(marker, None)
    findings = []
    if views:
        async for key, sheet_row, renewal in ledger.marked_rows():
            bare = marker_of(key, Stage.ACTIVITY, renewal)
            if activities := views.pop(bare, set()) | views.pop(in_note(bare), set()):
                findings.append(Finding(sheet_row, sorted(activities), None, shared=False))
    return findings
