"""The ledger's tables, and how an older ledger becomes one of today.

Plain SQL types only, so that another database can hold a ledger as well as SQLite. Until version 7 why a row is
where it is was said in words for people alone. The upgrade is the one place that reads such words, and each
ledger's once. They stay what they are, as a detail of the cause that they tell: nobody makes them anew of what was
never noted. Only SQLite has ledgers that are so old.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    case,
    column,
    false,
    func,
    literal,
    or_,
    table,
    true,
    update,
)

from batch_share.common import Cause
from batch_share.ledger.records import OLD_WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    (Cause.REVOKING_EARLIER, f"{_BEING_TAKEN}*"),
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
    (Cause.EARLIER_REVOKED, "taken back: *"),
    (Cause.EARLIER_NOT_REVOKED, "not all that was shared before could be taken back*"),
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
    (Cause.SENT_BEFORE, "sent as it was before: *"),
    (Cause.REVOKED_FIRST, f"{_TAKEN_BEFORE}*"),
    (Cause.NOBODY_ELSE, "reassigned: *"),
    (Cause.DOUBLE, "*"),
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
        "cause": _kind(_OLD.c.reason, _REASONS, Cause.OLD_WORDS),
        "details": _details(_OLD.c.reason, _BEING_TAKEN),
        "notice_kind": _kind(_OLD.c.notice, _NOTICES),
        "notice_details": _details(_OLD.c.notice, _TAKEN_BEFORE),
        "doubtful": case((doubtful, 1), else_=0),
    }
    reported = or_(_OLD.c.reason.is_not(None), _OLD.c.notice.is_not(None), stage.is_not(None))
    connection.execute(update(_OLD).where(reported).values(values))
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
    return case((said.is_(None), None), (is_of_rows, named), else_=func.json_object(OLD_WORDS, said))


VERSION: Final = 11

metadata = MetaData()

about = Table(
    "about",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)
"""Facts of the ledger as a whole: schema_version, job (the random Id that keys its rows), host, account (which of
the host's, once that was told), results (the file that was written of the rows as they are, while no run is under
way), written (all files that were), process (the last that worked on it), zone (the account's, if it was asked
for), dates (what comes first in them, by column), shown (the last sheet that changed what results and shares
show)."""

sheets = Table(
    "sheets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("worksheet", Text),
    Column("digest", String(64), nullable=False),
    Column("columns", JSON, nullable=False),
    Column("mapping", JSON(none_as_null=True)),  # which column holds what, as it was read; since version 2
    Column("taken_at", DateTime, nullable=False),
)
"""Each version of the sheet that was taken in; the last is the one in force. `digest` covers its options too."""

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("command", String(20), nullable=False),
    Column("version", String(40), nullable=False),
    Column("settings", JSON, nullable=False),
    Column("started_at", DateTime, nullable=False),
    Column("ended_at", DateTime),
    Column("ended", Text),
)
"""Each process that worked on the ledger; `settings` without keys, `ended` how it ended, in words."""

rows = Table(
    "rows",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(80), nullable=False, unique=True),
    Column("position", Integer),  # in the sheet in force; NULL: that sheet no longer has the row
    Column("sheet_row", Integer, nullable=False),
    Column("cells", JSON, nullable=False),
    Column("lead_id", String(36)),
    Column("lead_number", String(20)),
    Column("user_id", String(36)),
    Column("access", Integer),
    Column("duration", Integer),  # minutes; NULL where `until` says when the share ends
    Column("until", DateTime),  # since version 2
    Column("custom", JSON(none_as_null=True)),  # custom fields of the activity; since version 2
    Column("event", Integer),
    Column("start", DateTime),  # nothing is sent before; NULL: at once; since version 5
    Column("note", Text),
    Column("action", String(10), nullable=False, server_default="share"),  # since version 6
    Column("state", String(10), nullable=False),
    Column("stage", String(10)),
    Column("cause", String(20)),  # a Cause: why the row is in its state; since version 8, as the next two
    Column("details", JSON(none_as_null=True)),  # what the sentence needs that tells the cause to people
    Column("doubtful", Boolean, nullable=False, server_default=false()),  # a call may have been done
    Column("activity_id", String(100)),
    Column("request_id", String(100)),
    Column("revoke_id", String(100)),  # the request that takes the share back; since version 5
    Column("share_status", Integer),
    Column("chosen", Boolean, nullable=False, server_default=true()),  # false: left out by --rows; since version 4
    Column("notice_kind", String(20)),  # what a person must know whatever becomes of the row; since version 8
    Column("notice_details", JSON(none_as_null=True)),
    Column("changed_at", DateTime, nullable=False),
    Column(
        "ends_at", DateTime
    ),  # when its share ends; NULL before it is accepted; since version 9, as the next two
    Column("renewal", Integer, nullable=False, server_default="0"),  # how many shares of it there were before
    Column("renewed_as", Integer),  # the row that took its place when its share was renewed; NULL: none
    Column("edit", String(80)),  # which of the edits its cells are of; NULL: as the sheet has it; since version 10
    Index("rows_by_state", "state", "id"),
    Index("rows_by_position", "position"),
    Index("rows_by_request", "request_id", "state"),  # since version 4
    Index("rows_by_revoke", "revoke_id", "state"),  # since version 5
    Index("rows_by_activity", "activity_id"),  # since version 7
    Index("rows_by_renewal", "renewed_as"),  # since version 9, as the next
    Index("rows_by_end", "state", "renewed_as", "ends_at"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("row_id", ForeignKey("rows.id"), nullable=False, index=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("step", String(10), nullable=False),
    Column("sent_at", DateTime, nullable=False),
    Column("answered_at", DateTime),
    Column("http_status", Integer),
    Column("outcome", String(20)),  # NULL: sent, and no answer was recorded
    Column("answer_id", String(100)),
    Column("words", Text),
    Column("marker", String(40)),  # what the activity can be found by; since version 3
)
"""Every call made for a row: what, when, and the API's own words. The step `look` looks an unknown row up; `retry`
and `undo` are no calls, but a person's wish to try a failed row again, or to take its share back."""

owner_checks = Table(
    "owner_checks",
    metadata,
    Column("event", Integer, primary_key=True),
    Column("activity_id", String(100), nullable=False),
    Column("verified", Boolean, nullable=False),  # false: the user chose to trust it
    Column("checked_at", DateTime, nullable=False),
)
"""For each activity type, the last activity whose owner was read back and found to be the sales user."""

lookups = Table(
    "lookups",
    metadata,
    Column("kind", String(20), primary_key=True),
    Column("value", String(320), primary_key=True),
    Column("found", JSON(none_as_null=True)),  # NULL: nothing that can be used
    Column("problem", Text),
    Column("cause", String(20)),  # of which kind the problem is; since version 8
    Column("asked_at", DateTime, nullable=False),
)
"""What LeadSquared answered when it was asked for a lead or a user; since version 2."""


edits = Table(
    "edits",
    metadata,
    Column("key", String(80), primary_key=True),  # of what the sheet's row says, and which of those alike it is
    Column("cells", JSON, nullable=False),  # by header, what stands there instead
    Column("source", Text, nullable=False),  # the name of the file that said so
    Column("replaced", JSON, nullable=False),  # the keys that its row had before
    Column("made_at", DateTime, nullable=False),
    Column("was", JSON(none_as_null=True)),  # by header, what the sheet says itself; since version 11
)
"""How rows of the sheet were corrected outside of it: read so from then on; since version 10."""


UPGRADES: Final[dict[int, tuple[str | Callable[[Connection], None], ...]]] = {
    1: (  # until then leads and users were known by their Ids only
        """CREATE TABLE lookups (kind VARCHAR(20) NOT NULL, value VARCHAR(320) NOT NULL, found JSON, problem TEXT,
        asked_at DATETIME NOT NULL, PRIMARY KEY (kind, value))""",
        "ALTER TABLE sheets ADD COLUMN mapping JSON",
        "ALTER TABLE rows ADD COLUMN until DATETIME",
        "ALTER TABLE rows ADD COLUMN custom JSON",
    ),
    2: (  # activities had no marker: what was lost then can't be looked up, and stays unknown
        "ALTER TABLE rows ADD COLUMN notice TEXT",
        "ALTER TABLE attempts ADD COLUMN marker VARCHAR(40)",
    ),
    3: (  # nothing said which rows were left out, and a request was sought among all accepted rows
        "ALTER TABLE rows ADD COLUMN chosen BOOLEAN NOT NULL DEFAULT TRUE",
        "CREATE INDEX rows_by_request ON rows (request_id, state)",
    ),
    4: (  # no share could be taken back, and no row could wait for its time
        "ALTER TABLE rows ADD COLUMN revoke_id VARCHAR(100)",
        "ALTER TABLE rows ADD COLUMN start DATETIME",
        "CREATE INDEX rows_by_revoke ON rows (revoke_id, state)",
    ),
    5: (  # a row could do nothing but share
        "ALTER TABLE rows ADD COLUMN action VARCHAR(10) NOT NULL DEFAULT 'share'",
    ),
    6: (  # nobody asked whether an activity is another row's already
        "CREATE INDEX rows_by_activity ON rows (activity_id)",
    ),
    7: (  # why a row is where it is was said in words for people, by whose beginnings it was known
        "ALTER TABLE rows ADD COLUMN cause VARCHAR(20)",
        "ALTER TABLE rows ADD COLUMN details JSON",
        "ALTER TABLE rows ADD COLUMN notice_kind VARCHAR(20)",
        "ALTER TABLE rows ADD COLUMN notice_details JSON",
        "ALTER TABLE lookups ADD COLUMN cause VARCHAR(20)",
        "ALTER TABLE rows ADD COLUMN doubtful BOOLEAN NOT NULL DEFAULT FALSE",
        read_old_words,
        "ALTER TABLE rows DROP COLUMN reason",
        "ALTER TABLE rows DROP COLUMN notice",
    ),
    8: (  # no share could be renewed, and its end was reckoned whenever somebody asked
        "ALTER TABLE rows ADD COLUMN ends_at DATETIME",
        "ALTER TABLE rows ADD COLUMN renewed_as INTEGER",
        "ALTER TABLE rows ADD COLUMN renewal INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX rows_by_renewal ON rows (renewed_as)",
        "CREATE INDEX rows_by_end ON rows (state, renewed_as, ends_at)",
        """UPDATE rows SET ends_at = coalesce(until, strftime('%Y-%m-%d %H:%M:%f', (
        SELECT answered_at FROM attempts WHERE attempts.id = (SELECT max(id) FROM attempts
        WHERE row_id = rows.id AND step = 'share' AND outcome = 'done')
        ), CAST(coalesce(duration, 0) AS TEXT) || ' minutes') || '000') WHERE request_id IS NOT NULL""",
    ),
    9: (  # a sheet of failed rows was a job of its own
        "ALTER TABLE rows ADD COLUMN edit VARCHAR(80)",
        """CREATE TABLE edits (key VARCHAR(80) NOT NULL, cells JSON NOT NULL, source TEXT NOT NULL,
        replaced JSON NOT NULL, made_at DATETIME NOT NULL, PRIMARY KEY (key))""",
    ),
    10: (  # nobody could tell what a corrected cell had said
        "ALTER TABLE edits ADD COLUMN was JSON",
    ),
}
"""By the version it starts from, what makes a ledger of that version one of the next, in this order."""
