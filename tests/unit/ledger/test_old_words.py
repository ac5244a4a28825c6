"""Older ledgers become ones of today: with a cause for each row, and all goes on as it would have."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from ledgers import HOST, LOST, NOON, advance, new_row, row_of, sheet_record, working
from old_ledgers import OLDEST, turn_back
from sqlalchemy import Engine, event

from batch_share.common import Action, Cause
from batch_share.jobs.run import is_hopeless
from batch_share.ledger import schema
from batch_share.ledger.files import LedgerName, open_ledger
from batch_share.ledger.queries import TROUBLE
from batch_share.ledger.records import Lookup, Why
from batch_share.ledger.states import Stage, State
from batch_share.results.wording import reason_of

if TYPE_CHECKING:
    from pathlib import Path

    from batch_share.ledger.store import Ledger

BEGUN = 'being taken back first: a.csv row 2, it\'s "b".csv row 3'
TAKEN = "reassigned: taken back before it: a.csv row 2, b.csv row 3"
ALREADY = "already shared with that user until 2027-01-01 10:00 UTC by a.csv row 7 (run Id abc)"
NOT_ASKED = "the sheet no longer has this row, or it now asks for another activity type, lead, user or access"
STANDS = "the share stands: LeadSquared "

SAID: list[tuple[State, Stage | None, str, Cause]] = [
    (State.SKIPPED, None, "left out by --rows 2-5", Cause.LEFT_OUT),
    (State.SKIPPED, None, ALREADY, Cause.ALREADY_SHARED),
    (State.SKIPPED, None, f"{NOT_ASKED}; nothing was sent for it", Cause.GONE),
    (State.SKIPPED, None, "the same lead, user, access and activity as row 2", Cause.REPEAT),
    (State.FAILED, Stage.SHARE, f"{NOT_ASKED}: its activity was posted, the lead was not shared", Cause.GONE),
    (State.UNKNOWN, Stage.SHARE, f"{NOT_ASKED}: its activity was posted, nobody knows whether", Cause.GONE),
    (State.FAILED, Stage.ACTIVITY, "it was to end at 2026-01-01 18:00 UTC, which is over", Cause.TOO_LATE),
    (State.FAILED, Stage.ACTIVITY, "LeadSquared refused the activity: No", Cause.REFUSED),
    (State.FAILED, Stage.SHARE, "LeadSquared refused the share: it was to end at noon", Cause.REFUSED),
    (State.FAILED, Stage.PROCESSING, "LeadSquared accepted the share but could not process it: ",
     Cause.NOT_PROCESSED),
    (State.FAILED, Stage.REVOKE, f"{STANDS}refused to take it back: No", Cause.REFUSED),
    (State.FAILED, Stage.REVOKE, f"{STANDS}could not process its revocation (request Id r): ", Cause.NOT_PROCESSED),
    (State.FAILED, Stage.EARLIER, "not all that was shared before could be taken back: a row 2",
     Cause.EARLIER_NOT_REVOKED),
    (State.FAILED, Stage.ACTIVITY, "activity a was posted, but its owner is b, not the user", Cause.ANOTHERS),
    (State.UNKNOWN, Stage.ACTIVITY, "the program was cut off while this call was under way; it may", Cause.CUT_OFF),
    (State.UNKNOWN, Stage.ACTIVITY, "nobody knows whether the activity was posted: HTTP 502.", Cause.OLD_WORDS),
    (State.POSTED, Stage.SHARE, "its share may have been done already: it is repeated", Cause.REPEATED),
    (State.ACCEPTED, None, "accepted, not yet processed (ShareStatus 3)", Cause.WAITING),
    (State.TO_REVOKE, Stage.REVOKE, "its share is to be taken back", Cause.OLD_WORDS),
    (State.TO_REVOKE, None, "its share is to be taken back", Cause.OLD_WORDS),
    (State.REVOKED, None, "taken back: a.csv row 2", Cause.EARLIER_REVOKED),
    (State.REVOKED, None, "the share was taken back (request Id req)", Cause.REVOKED),
    (State.INVALID, None, "Row 2: 3 cells for 2 headers: something may be under a wrong header", Cause.SHIFTED),
    (State.INVALID, None, "Row 2, User Id 'x': not an active user of the account", Cause.NO_USER),
    (State.INVALID, None, "Row 2, Lead Id: blank; Row 2, Note: an error, not a value: mend its formula",
     Cause.ERROR_VALUE),
    (State.INVALID, None, "Row 2, Duration 'soon': no duration", Cause.INVALID),
    (State.FAILED, Stage.ACTIVITY, "LEFT OUT by whoever wrote this", Cause.OLD_WORDS),
]  # fmt: skip
"""Rows as versions 1 to 7 had them: what was said, and the cause that it tells."""

IN_DOUBT = {(State.POSTED, Stage.SHARE), (State.TO_REVOKE, Stage.REVOKE)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "leads.ledger.db"


def say(file: Path, *rows: tuple[int, dict[str, Any]]) -> None:
    """Change rows of an older ledger, by the number of their lead."""
    with closing(sqlite3.connect(file)) as connection:
        for number, changes in rows:
            given = ", ".join(f"{name} = ?" for name in changes)
            connection.execute(f"UPDATE rows SET {given} WHERE key = 'key{number}'", [*changes.values()])
        connection.commit()


@pytest.mark.parametrize("version", range(OLDEST, 8))
async def test_every_row_of_an_older_ledger_has_the_cause_that_its_words_reported_and_still_says_them(
    file: Path, version: int
) -> None:
    async with working(file, *map(new_row, range(len(SAID)))):
        pass
    turn_back(file, version)
    rows = [{"state": state, "stage": stage, "reason": said} for state, stage, said, _ in SAID]
    say(file, *enumerate(rows))
    async with open_ledger(LedgerName.of(file), host=HOST, now=lambda: NOON) as ledger:
        assert await ledger.schema_version() == schema.VERSION
        for number, (state, stage, said, cause) in enumerate(SAID):
            row = await row_of(ledger, number)
            doubtful = state is State.UNKNOWN or (state, stage) in IN_DOUBT
            assert (row.state, row.stage, row.cause, row.doubtful) == (state, stage, cause, doubtful), said
            assert row.why is not None
            assert row.why.details == {"told": said}
            assert reason_of(row) == said
            assert row.notice is None


@pytest.mark.parametrize("version", range(3, 8))
async def test_the_notices_of_an_older_ledger_are_of_the_kind_that_their_words_reported(
    file: Path, version: int
) -> None:
    said = {
        "sent as it was before: 7 days; the sheet now says 14": Cause.SENT_BEFORE,
        TAKEN: Cause.REVOKED_FIRST,
        "reassigned: no share of the lead with another user is known": Cause.NOBODY_ELSE,
        "its activity was found 2 times: delete b": Cause.DOUBLE,
    }
    async with working(file, *map(new_row, range(len(said)))):
        pass
    turn_back(file, version)
    say(file, *enumerate({"state": State.SHARED, "notice": notice} for notice in said))
    async with open_ledger(LedgerName.of(file), host=HOST) as ledger:
        found = [(await row_of(ledger, number)).notice for number in range(len(said))]
        assert [notice and notice.cause for notice in found] == [*said.values()]
        assert found[1] == Why(Cause.REVOKED_FIRST, {"of": ["a.csv row 2", "b.csv row 3"]})
        assert [row.cells[0] for row in await ledger.rows_where(TROUBLE, most=9)] == ["3"]
        assert (await ledger.totals()).noticed == 1


async def test_rows_that_earlier_shares_are_revoked_for_go_on_as_they_would_have(file: Path) -> None:
    """Versions before 6 had no such rows."""
    rows = [new_row(number, action=Action.REASSIGN) for number in range(3)]
    async with working(file, *rows, new_row(3, action=Action.REVOKE)):
        pass
    for version in (6, 7):
        turn_back(file, version)
        nothing = "no share of this lead with this user is known to the ledgers of this machine; `batch-share runs`"
        words: list[dict[str, Any]] = [
            {"reason": BEGUN},
            {"notice": TAKEN},
            {"reason": None},
            {"state": State.SKIPPED, "reason": nothing},
        ]
        say(file, *enumerate(words))
        async with open_ledger(LedgerName.of(file), host=HOST) as ledger:
            claims = await ledger.claims()
            assert [(row.state, list(row.begun)) for row in claims] == [
                (State.PENDING, ["a.csv row 2", 'it\'s "b".csv row 3']),
                (State.PENDING, ["a.csv row 2", "b.csv row 3"]),
                (State.PENDING, []),
                (State.SKIPPED, []),
            ]
            assert [row.sheet_row async for row in ledger.to_do()] == [2], "only what was taken back before"


async def test_what_a_program_does_next_with_an_older_ledger_is_what_it_would_have_done(file: Path) -> None:
    async with working(file, *map(new_row, range(len(SAID)))) as ledger:
        for row in [row async for row in ledger.all_rows()]:
            await ledger.settle(await ledger.intend([row], Stage.ACTIVITY, ["[bs-a]"]), [row], [LOST])
    turn_back(file, 7)
    rows = [{"state": state, "stage": stage, "reason": said} for state, stage, said, _ in SAID]
    say(file, *enumerate(rows))
    async with open_ledger(LedgerName.of(file), host=HOST, now=lambda: NOON) as ledger:
        hopeless = [row.sheet_row - 1 async for row in ledger.failed_rows() if is_hopeless(row)]
        assert [SAID[number][3] for number in hopeless] == [Cause.TOO_LATE]
        may_stand = {SAID[row.sheet_row - 1] for row in await ledger.shared_rows()}
        assert {(state, stage) for state, stage, *_ in may_stand} == {
            (State.UNKNOWN, Stage.SHARE),
            (State.FAILED, Stage.REVOKE),
            (State.POSTED, Stage.SHARE),
            (State.ACCEPTED, None),
            (State.TO_REVOKE, Stage.REVOKE),
            (State.TO_REVOKE, None),
        }
        assert [row.key async for row in ledger.wishes(State.SKIPPED, Action.SHARE)] == ["key1"]
        assert (await ledger.totals()).in_sheet == 2
        reported = {reason_of(each.row) for each in (await ledger.totals()).skipped}
        assert reported == {said for state, _, said, *_ in SAID if state is State.SKIPPED}
        await ledger.begin_run("run", "1.0", {})
        assert {row.sheet_row - 1 for row in await ledger.unknown_rows(Stage.ACTIVITY)} == {14, 15}
        await again(ledger)


async def again(ledger: Ledger) -> None:
    """The sheet has every row again: one that was lost when it was posted goes on, and no other."""
    await ledger.take_in(sheet_record(digest="other"), map(new_row, range(len(SAID))))
    assert [row.cells[0] async for row in ledger.to_do() if row.state is State.POSTED] == ["4", "16"]
    back = await row_of(ledger, 4)
    assert (back.stage, back.why, back.doubtful) == (None, None, False)


async def test_whoever_was_looked_up_in_vain_is_of_a_kind(file: Path) -> None:
    async with working(file) as ledger:
        in_vain = [
            Lookup("Lead Email", "a@x.example", None, "no lead has this email"),
            Lookup("Lead Number", "7", None, "found 2 times: use the Id instead"),
            Lookup("Lead Number", "8", None, "could not be looked up: HTTP 503"),
            Lookup("User Email", "b@x.example", None, "not an active user of the account"),
        ]
        await ledger.note_lookups([*in_vain, Lookup("User Id", "c", {"id": "c"})])
    turn_back(file, 7)
    async with open_ledger(LedgerName.of(file), host=HOST) as ledger:
        causes = [each.cause async for each in ledger.lookups()]
        assert causes == [Cause.NO_LEAD, Cause.AMBIGUOUS, Cause.INVALID, Cause.NO_USER, None]


async def test_a_ledger_of_many_rows_is_upgraded_by_the_database_alone(file: Path) -> None:
    async with working(file, *map(new_row, range(2000))):
        pass
    turn_back(file, 7)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE rows SET state = 'skipped', reason = ?", [ALREADY])
        connection.commit()
    statements: list[str] = []

    def note(*reported: Any) -> None:
        statements.append(reported[2])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        async with open_ledger(LedgerName.of(file), host=HOST) as ledger:
            event.remove(Engine, "before_cursor_execute", note)
            (skipped,) = (await ledger.totals()).skipped
            assert (skipped.cause, skipped.rows, [*skipped.first]) == (Cause.ALREADY_SHARED, 2000, [1, 2, 3])
    finally:
        assert len([each for each in statements if each.startswith("UPDATE rows")]) == 2
        assert len(statements) < 40


def test_what_ledgers_hold_keeps_its_name() -> None:
    """A cause that is called otherwise would be one that no ledger knows."""
    names = (
        "told shifted never_stored error_value ambiguous no_user no_lead no_type over markup too_long invalid "
        "contradicted not_told unchecked left_out repeat already_shared gone being_taken taken_back not_taken "
        "nothing_known refused not_processed waiting status_unread status_refused revoked too_late no_address "
        "anothers lost cut_off repeated unread unshown parked sent_again double nobody_else sent_before "
        "taken_before ids owner held recovered perhaps_revoked too_far"
    )
    assert sorted(Cause) == sorted(names.split())
    assert max(map(len, Cause)) <= 20


@pytest.mark.parametrize("version", [5, 8])
async def test_the_shares_of_an_older_ledger_end_when_they_were_to_end(file: Path, version: int) -> None:
    until = NOON + timedelta(days=9)
    async with working(file, new_row(1), new_row(2, duration=None, until=until), new_row(3)) as ledger:
        for number, state in ((1, State.SHARED), (2, State.SHARED), (3, State.POSTED)):
            await advance(ledger, number, state)
        ends = [(await row_of(ledger, number)).ends_at for number in (1, 2, 3)]
    turn_back(file, version)
    async with open_ledger(LedgerName.of(file), host=HOST, now=lambda: NOON + timedelta(days=1)) as ledger:
        rows = [await row_of(ledger, number) for number in (1, 2, 3)]
        assert [row.ends_at for row in rows] == ends == [NOON + timedelta(hours=1), until, None]
        assert [(row.renewal, row.earlier) for row in rows] == [(0, ())] * 3
        assert await ledger.counts() == {State.ENDED: 1, State.SHARED: 1, State.POSTED: 1}
