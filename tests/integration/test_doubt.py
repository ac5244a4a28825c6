"""Sheets whose only column of users usually says who has the lead now: nobody gets one of them by a guess."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from placing import named
from trial import SHARE, Onlooker, Refuses, Trial, trial

from batch_share import BatchShare, ExitCode, LedgerError, SheetError, State, TooManyRows
from batch_share.jobs.job import do
from batch_share.jobs.run import RunSheet
from batch_share.jobs.watch import AGREED, DONE, HELD
from batch_share.ledger.files import LedgerName
from batch_share.planning.intake import SheetJob, plan_job
from batch_share.planning.plan import Approval, SheetOptions
from batch_share.sandbox.sheets import active_users
from batch_share.sheet.mapping import Remembered, SheetMapping
from batch_share.sheet.reader import ReadOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from batch_share.jobs.job import Ending
    from batch_share.sending.onlookers import Doubt
    from batch_share.settings import Settings

NUMBER, EVENT, DAYS = "ProspectAutoId", "Activity Event", "Days"


def write(it: Trial, *people: tuple[str, Sequence[str]], rows: int = 6) -> None:
    """A sheet of leads in which columns of people have these headers and cells."""
    with (it.folder / "leads.csv").open("w", newline="", encoding="utf-8") as out:
        sheet = csv.writer(out)
        sheet.writerow([NUMBER, *(header for header, _ in people), EVENT, DAYS])
        for at, lead in enumerate(it.sandbox.world.leads[:rows]):
            sheet.writerow([lead.number, *(cells[at % len(cells)] for _, cells in people), "201", "7"])


def emails(it: Trial, first: int = 0) -> list[str]:
    return [user.email for user in active_users(it.sandbox.world)[first : first + 5]]


def ids(it: Trial) -> list[str]:
    return [user.id for user in active_users(it.sandbox.world)[:5]]


def mapped(mapping: Mapping[str, str]) -> SheetOptions:
    return SheetOptions(ReadOptions(mapping=SheetMapping(mapping)))


def job(it: Trial, mapping: Mapping[str, str] | None = None) -> SheetJob:
    return SheetJob(it.folder / "leads.csv", it.name, mapped(mapping or {}))


async def run(it: Trial, watcher: Onlooker, mapping: Mapping[str, str] | None = None) -> Ending:
    return await do(RunSheet(job(it, mapping)), it.settings(), watcher)


async def refused(it: Trial, mapping: Mapping[str, str] | None = None) -> str:
    """Why a run is refused that nobody answers for; nothing is left behind."""
    with pytest.raises(SheetError) as caught:
        await run(it, Onlooker(), mapping)
    assert it.sandbox.report()["total_calls"] == 0
    assert not it.ledger.exists()
    return caught.value.wrong


async def test_leads_go_to_who_is_named_as_new_and_not_to_their_present_owners(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ("OwnerId", ids(it)), ("OwnerIdEmailAddress", emails(it)), ("New rep", emails(it, 5)))
        watcher = Onlooker()
        assert (await run(it, watcher)).summary.states == {State.SHARED: 6}
        assert not watcher.doubts
        wanted = {user.id for user in active_users(it.sandbox.world)[5:10]}
        assert {user for (user,) in it.query("SELECT user_id FROM rows")} <= wanted
        assert watcher.previews[0].reported == []


async def test_nobody_gets_a_lead_that_they_may_have_already_unless_a_person_says_so(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ("Owner", emails(it)))
        problem = await refused(it)
        assert problem.endswith('say so with --map "Owner=Sales User"')
        assert "'Owner' (" in problem
        assert "usually says who has the lead now" in problem
        watcher = Onlooker()
        assert (await run(it, watcher, {"Owner": "Sales User"})).summary.states == {State.SHARED: 6}
        assert not watcher.doubts


async def test_a_person_is_shown_who_it_is_and_asked_once(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ("Owner", emails(it)))
        watcher = Onlooker(sure=True)
        assert (await run(it, watcher)).summary.states == {State.SHARED: 6}
        (doubt,) = watcher.doubts
        first = ", ".join(map(repr, emails(it)[:3]))
        assert doubt.reported == [f"leads.csv: 'Owner' ({first}, …) usually says who has the lead now."]
        assert doubt.question == "Share each lead with the person in 'Owner'?"

        write(it, ("Owner", emails(it)), rows=8)
        again = Onlooker()
        assert (await run(it, again)).summary.states == {State.SHARED: 8}
        assert not again.doubts


async def test_what_was_agreed_to_for_another_column_is_asked_for_this_one(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ("Owner", emails(it)))
        await run(it, Onlooker(sure=True))
        calls = it.sandbox.report()["total_calls"]
        for people in (("Agent", emails(it)), ("OwnerId", ids(it))):
            write(it, people)
            with pytest.raises(SheetError):
                await run(it, Onlooker())
        assert it.sandbox.report()["total_calls"] == calls


async def test_the_id_and_the_address_of_one_person_are_asked_about_together(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ("OwnerId", ids(it)), ("OwnerIdName", ["Asha Rao"]), ("OwnerIdEmailAddress", emails(it)))
        problem = await refused(it)
        assert problem.startswith(f"'OwnerId' and 'OwnerIdEmailAddress' ({emails(it)[0]!r}, ")
        assert problem.endswith('with --map "OwnerId=User Id" --map "OwnerIdEmailAddress=User Email"')
        watcher = Onlooker(sure=True)
        assert (await run(it, watcher)).summary.states == {State.SHARED: 6}
        assert (
            watcher.doubts[0].question == "Share each lead with the person in 'OwnerId' and 'OwnerIdEmailAddress'?"
        )


async def test_nobody_is_asked_where_another_column_may_be_meant(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ("Owner", emails(it)), ("Team mate", emails(it, 5)))
        watcher = Onlooker(sure=True)
        with pytest.raises(SheetError, match='--map "Team mate=User Email"'):
            await run(it, watcher)
        assert not watcher.doubts
        ending = await run(it, watcher, {"Team mate": "User Email"})
        assert ending.summary.states == {State.SHARED: 6}


async def test_a_sheet_that_is_changed_while_it_is_asked_about_is_not_sent(tmp_path: Path) -> None:
    class Late(Onlooker):
        def is_sure(self, doubt: Doubt) -> bool:
            write(it, ("Agent", emails(it, 5)), ("Owner", emails(it)))
            return not super().is_sure(doubt)

    async with trial(tmp_path) as it:
        write(it, ("Owner", emails(it)))
        with pytest.raises(SheetError):
            await run(it, Late())
        assert not it.ledger.exists()
        assert it.sandbox.report()["total_calls"] == 0

        class Newer(Onlooker):
            def is_sure(self, doubt: Doubt) -> bool:
                write(it, ("Owner", emails(it)), rows=7)
                return not super().is_sure(doubt)

        write(it, ("Owner", emails(it)))
        with pytest.raises(SheetError, match="changed while you were asked"):
            await run(it, Newer())
        assert not it.ledger.exists()


async def test_a_plan_asks_nobody_and_says_what_a_run_would_ask(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ("Owner", emails(it)))
        async with BatchShare(it.settings()) as program:
            seen = await program.plan(it.folder / "leads.csv")
            with pytest.raises(SheetError, match='say so with --map "Owner=Sales User"'):
                await program.run(it.folder / "leads.csv")
        assert seen.to_send == 6
        (note,) = seen.plan.sheet.of_people
        assert note.endswith(
            'read as the user only once you said so, with --map "Owner=Sales User" or when `run` asks'
        )
        assert it.sandbox.report()["total_calls"] == 0


async def test_a_saved_plan_says_no_more_than_the_sheet(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ("Owner", emails(it)))
        planned, approved = job(it), it.folder / "plan.json"
        plan = await plan_job(planned, it.settings())
        Approval.of(plan, it.settings()).save(named(approved))
        with pytest.raises(SheetError, match='--map "Owner=Sales User"'):
            await do(RunSheet(replace(planned, approved=approved)), it.settings(), Onlooker())
        assert not it.sent(SHARE)


async def test_what_nobody_agreed_to_is_not_said(tmp_path: Path) -> None:
    """Somebody was sure of the column, and then said no to the run."""
    async with trial(tmp_path) as it:
        write(it, ("Owner", emails(it)))
        assert (await run(it, Refuses(sure=True))).summary.states == {State.PENDING: 6}
        with pytest.raises(SheetError, match='--map "Owner=Sales User"'):
            await run(it, Onlooker())
        with pytest.raises(LedgerError, match="nobody has agreed to its rows"):
            await it.resume()
        assert not it.sent(SHARE)
        assert (await run(it, Onlooker(sure=True))).summary.states == {State.SHARED: 6}
        assert (await it.resume()).summary.states == {State.SHARED: 6}


async def test_a_ledger_whose_columns_nobody_was_asked_about_says_nothing(tmp_path: Path) -> None:
    """As those of before: it knows how the sheet was read, and not that somebody agreed to it."""
    async with trial(tmp_path) as it:
        write(it, ("Owner", emails(it)))
        await run(it, Onlooker(sure=True))
        it.change("DELETE FROM about WHERE name = 'said_columns'")
        with pytest.raises(SheetError, match='--map "Owner=Sales User"'):
            await run(it, Onlooker())


async def test_in_an_inbox_such_a_sheet_is_held_until_a_person_says_yes(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ("Owner", emails(it)))
        inbox = it.folder / "inbox"
        inbox.mkdir()
        (it.folder / "leads.csv").rename(inbox / "leads.csv")
        async with BatchShare(it.settings()) as program:
            (held,) = [each async for each in program.watch(inbox, settle=0.0, once=True)]
            assert (held.place, held.exit_code) == (HELD, ExitCode.NOT_DONE)
            assert "Share each lead with the person in 'Owner'?" in str(held.error)
            assert not it.sent(SHARE)
            assert [each async for each in program.watch(inbox, settle=0.0, once=True)] == []
            held.sheet.parent.rename(inbox / AGREED / held.sheet.parent.name)
            (done,) = [each async for each in program.watch(inbox, settle=0.0, once=True)]
        assert done.place == DONE
        assert len(it.sent(SHARE)) == 6


async def test_in_an_inbox_ids_that_nobody_can_check_are_held_until_a_person_says_yes(tmp_path: Path) -> None:
    async with trial(tmp_path, without=("Users", "Leads")) as it:
        inbox = it.folder / "inbox"
        inbox.mkdir()
        (it.folder / "leads.csv").rename(inbox / "leads.csv")
        async with BatchShare(it.settings()) as program:
            (held,) = [each async for each in program.watch(inbox, settle=0.0, once=True)]
            assert held.place == HELD
            assert "Take these Ids as they are?" in str(held.error)
            assert not it.sent(SHARE)
            held.sheet.parent.rename(inbox / AGREED / held.sheet.parent.name)
            (done,) = [each async for each in program.watch(inbox, settle=0.0, once=True)]
        assert (done.place, done.error) == (DONE, None)
        assert len(it.sent(SHARE)) == 12


async def test_in_an_inbox_more_rows_than_the_guard_allows_are_held_until_a_person_says_yes(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ("User Email", emails(it)))
        inbox = it.folder / "inbox"
        inbox.mkdir()
        (it.folder / "leads.csv").rename(inbox / "leads.csv")
        async with BatchShare(it.settings(max_rows=5)) as program:
            (held,) = [each async for each in program.watch(inbox, settle=0.0, once=True)]
            assert held.place == HELD
            assert isinstance(held.error, TooManyRows)
            held.sheet.parent.rename(inbox / AGREED / held.sheet.parent.name)
            (done,) = [each async for each in program.watch(inbox, settle=0.0, once=True)]
        assert done.place == DONE
        assert len(it.sent(SHARE)) == 6


async def test_people_who_are_not_read_are_reported_before_anything_is_sent(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ("User Email", emails(it)), ("Team mate", emails(it)), ("Guest", ["a@x.example", "b@x.example"]))
        watcher = Onlooker()
        await run(it, watcher)
        assert watcher.previews[0].reported == [
            "column 'Team mate' holds e-mail addresses of users and is not read",
            "column 'Guest' holds e-mail addresses and is not read",
        ]
        seen = await BatchShare(it.settings()).plan(it.folder / "leads.csv")
        assert seen.plan.sheet.of_people[0] == "column 'Team mate' holds e-mail addresses and is not read"


async def test_dates_that_are_not_read_are_reported_before_anything_is_sent(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        write(it, ("User Email", emails(it)), ("From", ["2095-12-02"]), ("Next call", ["2095-12-02"]))
        seen = await BatchShare(it.settings()).plan(it.folder / "leads.csv")
        reported = [f"column {column!r} holds dates and is not read" for column in ("From", "Next call")]
        assert seen.oddities()[:2] == reported
        watcher = Onlooker()
        await run(it, watcher)
        assert watcher.previews[0].reported == [f'{reported[0]}: --map "From=Start"', reported[1]]


# ------------------------------------------------------------------------------- what was said of such columns

OWNER_MEANT = "Owner=Sales User"


async def test_what_a_run_was_told_of_an_owner_holds_for_the_same_headers_and_is_shown(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        settings = it.settings()
        write(it, ("Owner", emails(it)))
        await do(RunSheet(told(it, settings, OWNER_MEANT)), settings, Onlooker())
        watcher, job_ = Onlooker(), replace(told(it, settings), ledger=LedgerName.of(tmp_path / "next.ledger.db"))
        ending = await do(RunSheet(job_), settings, watcher)
        assert (ending.summary.rows, watcher.doubts) == (6, [])
        assert "columns as last time: Owner → Sales User" in watcher.previews[0].notes
        # With one column more it is another kind of sheet, and what it means is asked again.
        write(it, ("Owner", emails(it)), ("City", ["Pune"]))
        with pytest.raises(SheetError, match='--map "Owner=Sales User"'):
            await do(RunSheet(replace(job_, ledger=LedgerName.of(tmp_path / "third.db"))), settings, watcher)


async def test_neither_a_yes_for_one_sheet_nor_a_run_that_was_refused_is_remembered(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        settings = it.settings()
        write(it, ("Owner", emails(it)))
        await do(RunSheet(told(it, settings, OWNER_MEANT)), settings, Refuses())
        await plan_job(told(it, settings, OWNER_MEANT), settings)
        await do(RunSheet(told(it, settings)), settings, sure := Onlooker(sure=True))
        assert len(sure.doubts) == 1
        assert Remembered.load(settings.data_folder) == Remembered()


async def test_a_run_goes_on_where_nothing_can_be_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Remembered, "keep", full)
    async with trial(tmp_path) as it:
        settings = it.settings()
        write(it, ("Owner", emails(it)))
        ending = await do(RunSheet(told(it, settings, OWNER_MEANT)), settings, Onlooker())
        assert ending.summary.states == {State.SHARED: 6}
        assert "What its columns hold can't be kept for other sheets (No space left on device)" in ending.remarks


def told(it: Trial, settings: Settings, *maps: str) -> SheetJob:
    """The sheet with what is said by options, and whatever is remembered."""
    return replace(job(it), options=SheetOptions.of(settings, maps=maps))
