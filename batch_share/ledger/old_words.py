"""How a ledger of version 7 gets causes: until then why a row is where it is was said in words for people alone.

The one place that reads such words, and each ledger's once. They stay what they are, as a detail of the cause that
they tell: nobody makes them anew of what was never noted. Only SQLite has ledgers that are so old.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import String, case, column, func, literal, or_, table, update

from batch_share.causes import Cause
from batch_share.ledger.records import TOLD, NoticeKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnClause, ColumnElement, Connection

_OLD: Final = table(
    "rows",
    *map(column, ("state", "stage", "reason", "notice")),
    *map(column, ("cause", "details", "doubtful", "notice_kind", "notice_details")),
)
_LOOKUPS: Final = table("lookups", *map(column, ("kind", "found", "problem", "cause")))

_BEING_TAKEN: Final = "being taken back first: "
_TAKEN_BEFORE: Final = "reassigned: taken back before it: "
"""What stands before rows that made the shares, one after the other."""

_REASONS: Final = (
    # by these the program knew what to do
    (Cause.LEFT_OUT, "left out*"),
    (Cause.ALREADY_SHARED, "already shared with that user until *"),
    (Cause.NOTHING_KNOWN, "no share of this lead with this user is known to the ledgers of this machine*"),
    (Cause.BEING_TAKEN, f"{_BEING_TAKEN}*"),
    (Cause.GONE, "the sheet no longer has this row, or it now asks for another activity type, *"),
    (Cause.TOO_LATE, "it was to end at *"),
    # by these it knew what to advise
    (Cause.SHIFTED, "Row *something may be under a wrong header*"),
    (Cause.NEVER_STORED, "Row *a formula whose value was never stored*"),
    (Cause.ERROR_VALUE, "Row *an error, not a value: mend its formula*"),
    (Cause.AMBIGUOUS, "Row *found * times*"),
    (Cause.NO_USER, "Row *not an active user*"),
    (Cause.NO_USER, "Row *no longer an active*"),
    (Cause.NO_LEAD, "Row *no lead has*"),
    (Cause.NO_TYPE, "Row *activity type*"),
    (Cause.OVER, "Row *is over already*"),
    (Cause.MARKUP, "Row *looks like markup*"),
    # all others say of which kind they are, and no more
    (Cause.CONTRADICTED, "Row *: row * says * for the same lead, *"),
    (Cause.UNCHECKED, "Row *: its Ids could not be checked (*"),
    (Cause.INVALID, "Row *"),
    (Cause.REPEAT, "the same lead, user, access and activity as row *"),
    (Cause.TAKEN_BACK, "taken back: *"),
    (Cause.NOT_TAKEN, "not all that was shared before could be taken back*"),
    (Cause.REFUSED, "LeadSquared refused the *"),
    (Cause.REFUSED, "the share stands: LeadSquared refused to take it back: *"),
    (Cause.NOT_PROCESSED, "LeadSquared accepted the share but could not process it: *"),
    (Cause.NOT_PROCESSED, "the share stands: LeadSquared could not process its revocation *"),
    (Cause.NOT_PROCESSED, "the shares of its call could not be processed, so each is shared again by itself: *"),
    (Cause.WAITING, "accepted, not yet processed *"),
    (Cause.REVOKED, "the share was taken back (request Id *"),
    (Cause.ANOTHERS, "activity * was posted, but its owner is *"),
    (Cause.CUT_OFF, "the program was cut off while this call was under way; *"),
    (Cause.REPEATED, "its share may have been done already: *"),
)
"""By how it was said, the first that fits: why a row is where it is. What fits none was merely told."""

_NOTICES: Final = (
    (NoticeKind.SENT_BEFORE, "sent as it was before: *"),
    (NoticeKind.TAKEN_BEFORE, f"{_TAKEN_BEFORE}*"),
    (NoticeKind.NOBODY_ELSE, "reassigned: *"),
    (NoticeKind.DOUBLE, "*"),
)


def read_old_words(connection: Connection) -> None:
    """Fill the columns of causes and notices, and of what is doubtful, by what was said until then."""
    state, stage = _OLD.c.state, _OLD.c.stage
    doubtful = or_(
        state == "unknown",
        (state == "posted") & (stage == "share"),
        state.in_(("to_revoke", "revoking", "ending")) & (stage == "revoke"),
    )
    values = {
        "cause": _kind(_OLD.c.reason, _REASONS, Cause.TOLD),
        "details": _details(_OLD.c.reason, _BEING_TAKEN),
        "notice_kind": _kind(_OLD.c.notice, _NOTICES),
        "notice_details": _details(_OLD.c.notice, _TAKEN_BEFORE),
        "doubtful": case((doubtful, 1), else_=0),
    }
    told = or_(_OLD.c.reason.is_not(None), _OLD.c.notice.is_not(None), stage.is_not(None))
    connection.execute(update(_OLD).where(told).values(values))
    kind = case(
        (_LOOKUPS.c.problem.op("GLOB")("could not be looked up*"), Cause.INVALID),
        (_LOOKUPS.c.problem.op("GLOB")("found * times*"), Cause.AMBIGUOUS),
        (_LOOKUPS.c.kind.op("GLOB")("*User*"), Cause.NO_USER),
        else_=Cause.NO_LEAD,
    )
    connection.execute(update(_LOOKUPS).where(_LOOKUPS.c.found.is_(None)).values(cause=kind))


def _kind(
    said: ColumnClause[Any], kinds: Sequence[tuple[str, str]], other: str | None = None
) -> ColumnElement[Any]:
    whens = [(said.op("GLOB")(words), literal(kind, String)) for kind, words in kinds]
    return case((said.is_(None), None), *whens, else_=literal(other, String))


def _details(said: ColumnClause[Any], beginning: str) -> ColumnElement[Any]:
    """The old words as JSON; the rows that stand after this `beginning` are a list from now on."""
    rows = func.json_quote(func.substr(said, len(beginning) + 1))
    named = func.json_object("of", func.json("[" + func.replace(rows, ", ", '","', type_=String) + "]"))
    is_of_rows = func.substr(said, 1, len(beginning)) == beginning
    return case((said.is_(None), None), (is_of_rows, named), else_=func.json_object(TOLD, said))
