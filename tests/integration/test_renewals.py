"""Shares that have ended are told as that, and renewed by a wish: in virtual time, within one ledger."""

from __future__ import annotations

import asyncio
import csv
import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from trial import CREATE, HEADER, REVOKE, SHARE, Fault, Onlooker, Refuses, Trial, altogether, options, sheet_rows
from virtual_time import run_virtually
from virtual_trial import START, in_virtual_time, wall

from batch_share.jobs.outputs import results_of, unchanged
from batch_share.ledger.states import State
from batch_share.planning.intake import SheetJob, show_sheet
from batch_share.planning.plan import SheetOptions
from batch_share.results.wording import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trial import Step

    from batch_share.sandbox.wire import Reply, SandboxCall

DAY = 86_400.0
WEEKS = 52 if os.environ.get("EVERY") == "1" else 4
DAILY = "1d"
EIGHT = 8 * DAY


@pytest.fixture
def it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """Three rows, each for seven days."""
    return in_virtual_time(tmp_path, monkeypatch, options(), rows=3)


def markers(it: Trial) -> list[str]:
    return [marker for (marker,) in it.query("SELECT marker FROM attempts WHERE step = 'activity'")]


def test_a_share_that_is_over_has_ended_and_a_run_says_so_with_a_code_of_its_own(it: Trial) -> None:
    async def main() -> None:
        first = await it.run()
        assert (first.summary.states, first.exit_code) == ({State.SHARED: 3}, ExitCode.DONE)
        await asyncio.sleep(EIGHT)
        again = await it.run()
        assert (again.summary.states, again.exit_code, again.sent) == ({State.ENDED: 3}, ExitCode.ENDED, 0)
        assert (again.summary.exit_code, it.live()) == (ExitCode.DONE, 0)
        assert again.summary.as_json()["states"] == {"ended": 3}
        assert "ended" in (it.folder / "leads.results.csv").read_text()

    run_virtually(main())


def test_a_sheet_whose_shares_have_ended_is_not_unchanged(it: Trial) -> None:
    async def main() -> None:
        await it.run()
        job = SheetJob(it.folder / "leads.csv", it.name, SheetOptions())
        assert await unchanged(job, it.settings()) is not None
        for days, renew, is_unchanged in ((3, "8d", True), (4, DAILY, True), (4, "8d", False)):
            await asyncio.sleep(max(0.0, START.timestamp() + days * DAY - wall().timestamp()))
            found = await unchanged(job, it.settings(renew=renew))
            assert (found is not None) is is_unchanged, (days, renew)
        await asyncio.sleep(EIGHT)
        assert await unchanged(job, it.settings()) is None

    run_virtually(main())


def test_what_has_ended_is_renewed_with_an_activity_of_its_own(it: Trial) -> None:
    async def main() -> None:
        await it.run()
        await asyncio.sleep(EIGHT)
        onlooker = Onlooker()
        ending = await it.run(onlooker, renew=DAILY)
        assert (ending.summary.states, ending.sent) == ({State.SHARED: 3}, 6)
        assert [*onlooker.previews[0].reported] == ["3 shares are renewed, each with an activity of its own"]
        assert (it.live(), len(it.sent(CREATE)), len({*markers(it)})) == (3, 6, 6)
        again = await it.run(renew=DAILY)
        assert (again.sent, again.exit_code) == (0, ExitCode.DONE)

    run_virtually(main())


def test_results_have_one_line_for_a_row_with_its_history(it: Trial) -> None:
    async def main() -> None:
        await it.run()
        await asyncio.sleep(EIGHT)
        await it.run(renew=DAILY)
        written = await results_of(it.name, None)
        with written.path.open(newline="") as file:
            rows = [*csv.DictReader(file)]
        days = [f"{START + timedelta(days=day):%-d %b %Y}" for day in (0, 7, 15)]
        assert [row["Result"] for row in rows] == ["shared"] * 3
        assert rows[0]["Reason"].startswith(f"shared {days[0]} - {days[1]}; again until {days[2]} ")

    run_virtually(main())


def test_a_row_whose_end_is_over_has_ended_also_in_a_sheet_that_was_changed_since(it: Trial) -> None:
    async def main() -> None:
        write(it, START + timedelta(days=7))
        await it.run()
        await asyncio.sleep(EIGHT)
        write(it, START + timedelta(days=7), lasting=[3])
        seen = await show_sheet(it.folder / "leads.csv", SheetOptions(), it.settings(renew=DAILY), None)
        assert (seen.states, seen.problems) == ({State.ENDED: 3, State.PENDING: 1}, [])
        ending = await it.run(renew=DAILY)
        assert (ending.summary.states, ending.exit_code) == ({State.ENDED: 3, State.SHARED: 1}, ExitCode.DONE)

    run_virtually(main())


def test_a_row_whose_end_is_over_is_wrong_if_it_never_was_sent_or_another_asks_for_the_same(it: Trial) -> None:
    async def main() -> None:
        write(it, START + timedelta(days=7))
        await it.run()
        await asyncio.sleep(EIGHT)
        write(it, START + timedelta(days=7), ending=[0, 1, 1, 5], lasting=[0])
        seen = await show_sheet(it.folder / "leads.csv", SheetOptions(), it.settings(renew=DAILY), None)
        planned = [row.state for row in seen.planned()]
        assert planned == [State.INVALID, State.ENDED, State.INVALID, State.INVALID, State.PENDING]
        assert {each.text for each in seen.problems} == {"is over already"}
        ending = await it.run(renew=DAILY)
        states = [State(state) for state, position in it.rows("state", "position") if position is not None]
        assert states == [State.INVALID, State.SHARED, State.INVALID, State.INVALID, State.SHARED]
        assert (ending.exit_code, it.live()) == (ExitCode.SOME_FAILED, 1)
        asked_for = {value for (value,) in it.query("SELECT value FROM lookups")}
        assert sheet_rows(6, it.sandbox.world)[5][0] not in asked_for  # it can't be sent, whoever is named

    run_virtually(main())


def test_what_ends_soon_is_renewed_while_it_stands_and_both_are_revoked(it: Trial) -> None:
    async def main() -> None:
        await it.run()
        await asyncio.sleep(5 * DAY)
        onlooker = Onlooker()
        await it.run(onlooker, renew=DAILY)
        assert (len(it.sent(SHARE)), onlooker.previews[0].reported) == (3, [])
        await it.run(onlooker, renew="3d")
        assert "3 of them not ended yet: old and new overlap" in onlooker.previews[-1].reported[0]
        assert len(it.sent(SHARE)) == 6
        await it.revoke(rows="2")
        assert (it.live(), len(it.sent(REVOKE))) == (4, 2)
        await it.revoke(onlooker)
        assert it.live() == 0
        assert onlooker.connection is not None
        assert min(onlooker.connection.progress().states.values()) >= 0

    run_virtually(main())


def test_an_earlier_share_that_has_ended_is_nothing_to_a_revocation(it: Trial) -> None:
    async def main() -> None:
        await it.run()
        await asyncio.sleep(EIGHT)
        await it.run(renew=DAILY)
        onlooker = Onlooker()
        await it.revoke(onlooker, rows="2-3")
        assert not [line for line in onlooker.previews[0].reported if "ended" in line]
        assert onlooker.connection is not None
        assert State.ENDED not in onlooker.connection.progress().states
        assert (it.live(), len(it.sent(REVOKE))) == (1, 2)

    run_virtually(main())


def test_what_was_revoked_is_never_renewed(it: Trial) -> None:
    async def main() -> None:
        await it.run()
        await it.revoke(rows="2")
        await asyncio.sleep(EIGHT)
        for wish in ({"renew": DAILY}, {"force": True}):
            await it.run(**wish)
        states = sorted(state for (state,) in it.query("SELECT state FROM rows WHERE renewed_as IS NULL"))
        assert states == ["revoked", "shared", "shared"]

    run_virtually(main())


def test_force_renews_what_stands_and_after_a_run_that_was_stopped_only_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onlooker = Onlooker()

    async def stop(step: Step, call: SandboxCall) -> Reply:
        assert onlooker.connection is not None
        onlooker.connection.stop.ask()
        return await step(call)

    it = in_virtual_time(tmp_path, monkeypatch, options(), Fault(CREATE, [5], stop), rows=3, workers=1)

    async def main() -> None:
        await it.run()
        stopped = await it.run(onlooker, force=True)
        assert stopped.interrupted
        left = 6 - len(it.sent(SHARE))
        wish: dict[str, Any] = {"force": True, "renew": DAILY}
        assert 0 < left < 3
        seen = await show_sheet(it.folder / "leads.csv", SheetOptions(), it.settings(**wish), None)
        assert seen.to_send == left
        ending = await it.run(**wish)
        assert (ending.summary.states, len(it.sent(CREATE))) == ({State.SHARED: 3}, 6)

    run_virtually(main())


def test_nothing_is_renewed_that_nobody_agreed_to(it: Trial) -> None:
    async def main() -> None:
        await it.run()
        await asyncio.sleep(EIGHT)
        await it.run(Refuses(), renew=DAILY)
        ending = await it.run()
        assert (ending.summary.states, len(it.sent(CREATE))) == ({State.ENDED: 3}, 3)

    run_virtually(main())


def test_a_share_that_the_sheet_ends_by_a_date_is_renewed_once_the_sheet_says_a_later_one(it: Trial) -> None:
    async def main() -> None:
        write(it, START + timedelta(days=7))
        await it.run()
        await asyncio.sleep(EIGHT)
        await it.run(renew=DAILY)
        assert (it.live(), len(it.sent(CREATE))) == (0, 3)
        write(it, START + timedelta(days=30))
        onlooker = Onlooker()
        await it.run(onlooker, renew=DAILY)
        assert (it.live(), len(it.sent(CREATE))) == (3, 6)
        would = onlooker.previews[0].to_share
        assert would is not None
        ((until,),) = it.query("SELECT DISTINCT until FROM rows WHERE renewed_as IS NULL")
        assert (would.shortest, f"{would.last_end:%Y-%m-%d %H:%M}") == (None, until[:16])

    run_virtually(main())


WISHES: dict[str, dict[str, Any]] = {
    "-": {},
    "1": {"renew": DAILY},
    "3": {"renew": "3d"},
    "8": {"renew": "8d"},
    "f": {"force": True},
}
CASES = {
    "as it was": ("7d", "7d", "38f"),
    "longer": ("7d", "14d", "38f"),
    "shorter": ("7d", "1d", "38f"),
    "not half over": ("12d", "12d", "f"),
    "ends later than any wish": ("30d", "1d", "f"),
    "over by the sheet": ("7d", "@3", ""),
    "to end before its share does": ("7d", "@6", "f"),
    "to end after its share does": ("7d", "@30", "38f"),
    "ended by the sheet": ("@7", "@7", "f"),
    "ended sooner": ("@7", "@6", "f"),
    "ended later": ("@7", "@30", "38f"),
    "ended no longer": ("@7", "7d", "38f"),
    "ended, and over": ("@4", "@4", ""),
    "ended later, and over": ("@4", "@30", "138f"),
    "over": ("2d", "2d", "138f"),
    "over, and longer": ("2d", "9d", "138f"),
    "over, and over by the sheet": ("2d", "@3", ""),
    "taken out": ("7d", "", ""),
    "taken out and put back": ("7d", "7d", "38f"),
    "taken out and put back, ended later": ("@7", "@30", "38f"),
    "reassigned": ("7d", "7d", ""),
    "revoked": ("7d", "7d", ""),
    "posted twice": ("7d", "7d", "38f"),
    "posted twice, to end before its share does": ("7d", "@6", "f"),
    "posted twice, ended later": ("@7", "@30", "38f"),
    "to begin later": ("7d", "7d", "38f"),
    "new": ("", "7d", "-138f"),
}
"""By what becomes of a row: how long it lasts at first and in the sheet of five days later, as a length or (after
an @) to that day; and with which wishes it is sent then.
"""


def test_a_plan_tells_of_each_row_whether_a_run_sends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, wish in WISHES.items():
        (tmp_path / name).mkdir()
        it = in_virtual_time(tmp_path / name, monkeypatch, options(leads=40), timezone="UTC")
        planned, sent = run_virtually(planned_and_sent(it, wish))
        assert planned == sent, wish
        assert sent == {case for case, (_, _, wishes) in CASES.items() if name in wishes}, wish


async def planned_and_sent(it: Trial, wish: dict[str, Any]) -> tuple[set[str], set[str]]:
    """The cases that a plan says will be sent five days later, and those that a run sends."""
    leads = dict(zip(CASES, sheet_rows(len(CASES), it.sandbox.world), strict=True))
    rare = [case for case in CASES if case.startswith("taken out")]
    write_cases(it, leads, 0)
    await it.run()
    await it.revoke(rows=str([*CASES].index("revoked") + 2))
    write_cases(it, {case: row for case, row in leads.items() if case not in rare}, 0)
    await it.run()
    for case, (lead, *_) in leads.items():
        if case.startswith("posted twice"):
            details = """notice_kind = 'double', notice_details = '{"others": ["x"], "counts": "y"}'"""
            it.change(f"UPDATE rows SET {details} WHERE lead_id = '{lead}'")
    await asyncio.sleep(5 * DAY)
    write_cases(it, leads, 1)
    seen = await show_sheet(it.folder / "leads.csv", SheetOptions(), it.settings(**wish), None)
    planned = {row.cells[0] for row in seen.planned() if row.state is State.PENDING}
    before = len(it.leads_sent())
    await it.run(**wish)
    sent = it.leads_sent()[before:]
    assert (seen.as_json()["to_send"], seen.waiting.rows) == (len(sent), 0)
    of_leads = {row[0]: case for case, row in leads.items()}
    return {of_leads[lead] for lead in planned}, {of_leads[lead] for lead in sent}


def write_cases(it: Trial, leads: dict[str, list[str]], at: int) -> None:
    """Write the sheet as it is at first, or five days later."""
    header = (
        "Lead Id",
        "Lead Number",
        "User Id",
        "Access",
        "Activity Event",
        "Duration",
        "Until",
        "Start",
        "Action",
    )
    sheet: list[tuple[str, ...]] = [header]
    for case, (*row, _, event) in leads.items():
        length, _, day = CASES[case][at].partition("@")
        until = f"{START + timedelta(days=int(day)):%Y-%m-%d %H:%M:%S.%f}" if day else ""
        start = f"{START + timedelta(days=9):%Y-%m-%d}" if at and case == "to begin later" else ""
        if length or until:
            sheet.append((*row, event, length, until, start, "reassign" if case == "reassigned" else ""))
    with (it.folder / "leads.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows(sheet)


def write(it: Trial, until: datetime, ending: Sequence[int] = range(3), lasting: Sequence[int] = ()) -> None:
    """Write a sheet whose first rows end then, and the others after seven days."""
    rows = sheet_rows(6, it.sandbox.world)
    says = f"{until:%Y-%m-%d %H:%M}"
    sheet = [*([*rows[at][:4], "", rows[at][5], says] for at in ending), *([*rows[at], ""] for at in lasting)]
    with (it.folder / "leads.csv").open("w", newline="") as out:
        csv.writer(out).writerows([[*HEADER, "Until"], *sheet])


def test_a_year_of_the_nightly_job_shares_the_rows_of_the_sheet_and_no_others(it: Trial) -> None:
    async def main() -> None:
        rows: Sequence[Sequence[str]] = sheet_rows(4, it.sandbox.world)
        for week in range(WEEKS):
            there = rows[: 2 + week % 3]
            it.write(there)
            for _ in range(7):
                ending = await it.run(renew=DAILY)
                assert ending.exit_code is ExitCode.DONE
                assert {row[0] for row in there} <= leads_live(it)
                await asyncio.sleep(DAY)
        assert leads_live(it) <= {row[0] for row in rows}
        assert len({*markers(it)}) == len(it.sent(CREATE))

    run_virtually(main())


def leads_live(it: Trial) -> set[str]:
    return {grant.lead.id for grant in it.sandbox.account.live_shares()}


def test_a_row_that_left_the_sheet_has_ended_for_good(it: Trial) -> None:
    async def main() -> None:
        await it.run()
        it.write(sheet_rows(2, it.sandbox.world))
        await asyncio.sleep(EIGHT)
        await it.run(renew=DAILY)
        ending = await it.run()
        assert (altogether(ending.summary), ending.exit_code) == ({State.SHARED: 2, State.ENDED: 1}, ExitCode.DONE)
        assert (
            await unchanged(SheetJob(it.folder / "leads.csv", it.name, SheetOptions()), it.settings()) is not None
        )

    run_virtually(main())


def test_a_renewal_that_waits_for_its_time_keeps_no_other_from_being_renewed(it: Trial) -> None:
    async def main() -> None:
        await it.run()
        await asyncio.sleep(EIGHT)
        await it.run(Onlooker(lambda session: session.stop.ask()), renew=DAILY)
        it.change("UPDATE rows SET start = '2999-01-01 00:00:00.000000' WHERE renewed_as IS NULL AND sheet_row = 2")
        await it.run(renew=DAILY)
        await asyncio.sleep(EIGHT)
        await it.run(renew=DAILY)
        assert it.live() == 2

    run_virtually(main())


def test_a_renewed_share_says_what_the_sheet_says_now(it: Trial) -> None:
    async def main() -> None:
        await it.run()
        await asyncio.sleep(EIGHT)
        header = ("Lead Id", "Lead Number", "User Id", "Access", "Duration", "Activity Event", "Note")
        rows = [[*row[:4], "1d", *row[5:], "Second time"] for row in sheet_rows(3, it.sandbox.world)]
        with (it.folder / "leads.csv").open("w", newline="") as out:
            csv.writer(out).writerows([header, *rows])
        await it.run(renew=DAILY)
        notes = [activity.note for activity in it.sandbox.account.visible()]
        assert sum("Second time" in note for note in notes) == 3
        assert {grant.minutes for grant in it.sandbox.account.live_shares()} == {1440}

    run_virtually(main())
