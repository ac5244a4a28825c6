"""What is done on the page to a sheet that is there: cells corrected, shares revoked, renewed; who has access."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
from pydantic import SecretStr
from trial import CREATE, FAST, HEADER, OF_LEAD, STATUS, Trial, options, sheet_rows
from visiting import on_both, shared_by_two, visiting

from batch_share import BatchShare, LedgerName
from batch_share.page import server
from batch_share.page.shelf import Kept
from batch_share.sandbox import Sandbox
from batch_share.sandbox.faults import Particulars, strike

if TYPE_CHECKING:
    from trial import Step
    from visiting import Visitor

    from batch_share.sandbox.wire import Reply, SandboxCall

OWNER = HEADER.index("User Id")


def sheet(rows: int = 6, *wrong: dict[str, str], users: int | None = None) -> bytes:
    """A sheet whose first rows say something else in some cells, and all have one of so many users."""
    lines = sheet_rows(rows)
    for at, line in enumerate(lines):
        line[OWNER] = lines[at % users][OWNER] if users else line[OWNER]
    for line, cells in zip(lines, wrong, strict=False):
        for header, cell in cells.items():
            line[HEADER.index(header)] = cell
    out = io.StringIO()
    csv.writer(out).writerows([HEADER, *lines])
    return out.getvalue().encode()


def from_now(**span: float) -> str:
    """A time from now, as a ledger has it."""
    return (datetime.now(UTC).replace(tzinfo=None) + timedelta(**span)).isoformat(" ", "microseconds")


def fields(visitor: Visitor) -> dict[str, str]:
    """By its name for people, that of each field in which a cell can be corrected."""
    found = re.findall(r'<input name="(cell-\d+)"[^>]* aria-label="([^"]+)"', visitor.text)
    return {unescape(label): name for name, label in found}


async def correct(visitor: Visitor, **cells: str) -> str:
    """Type these texts in the fields of these names, as in `Row_2__Duration`, and have it planned anew."""
    action, named = f"{visitor.sheet}/correct", fields(visitor)
    typed = {named[name.replace("__", ", ").replace("_", " ")]: text for name, text in cells.items()}
    assert typed.keys() <= visitor.form(action).keys()
    await visitor.post(action, visitor.form(action) | typed)
    return await visitor.ended("/plan", "Looking up leads")


@on_both
async def test_cells_are_corrected_in_the_plan_and_one_number_is_approved(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(6, {"Duration": "soon"}, {"Duration": "soon", "Access": "full"}))
        assert "4 leads will be shared" in visitor.text
        assert sorted(fields(visitor)) == ["Row 2, Duration", "Row 3, Access", "Row 3, Duration"]
        await correct(visitor, Row_2__Duration="7d", Row_3__Access="write")
        assert "5 leads will be shared" in visitor.text
        assert [*fields(visitor)] == ["Row 3, Duration"]
        assert "Take back the correction of row 2, Duration" in visitor.text
        assert "2 rows as corrected on the page" in visitor.text
        await correct(visitor, Row_3__Duration="3d")
        assert "6 leads will be shared" in visitor.text
        await visitor.approve()
        await visitor.results()
        assert "All 6 rows are shared." in visitor.text
        said = unescape(visitor.text)
        assert "Row 2, Duration: corrected on the page from 'soon' to '7d'" in said
        assert trial.sandbox.report()["activities"] == trial.live() == 6
        (kept,) = (trial.folder / "page").glob("*/leads.csv")
        assert kept.read_bytes() == sheet(6, {"Duration": "soon"}, {"Duration": "soon", "Access": "full"})
        again = await BatchShare(trial.settings()).run(kept)  # as a command does it
        assert (again.sent, again.summary.corrected) == (0, {"page": 2})


@on_both
async def test_cells_are_corrected_in_the_results_and_what_was_sent_stays(trial: Trial) -> None:
    nobody = "ffffffff-0000-4000-8000-000000000000"
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(6, {"User Id": nobody}, {"Duration": "soon"}))
        await visitor.approve()
        await visitor.results()
        assert "4 of 6 rows are shared." in visitor.text
        assert [*fields(visitor)] == ["Row 2, User Id", "Row 3, Duration"]
        await correct(visitor, Row_2__User_Id=sheet_rows(1)[0][OWNER], Row_3__Duration="7d")
        assert "2 leads will be shared" in visitor.text
        assert "Sent before: 4 rows" in visitor.text
        page = visitor.text
        await visitor.get(f"{visitor.sheet}/results")
        assert "4 of 6 rows are shared." in visitor.text
        assert "Look at the plan" in visitor.text
        own = visitor.sheet
        assert "waiting for your approval" in await visitor.get("/")
        await visitor.get(f"{own}/columns")
        assert visitor.path.endswith("/plan"), "its columns are no question any more"
        visitor.text = page
        await visitor.approve()
        await visitor.results()
        assert "All 6 rows are shared." in visitor.text
        assert fields(visitor) == {}
        assert trial.sandbox.report()["activities"] == trial.live() == 6
        assert trial.sandbox.report()["duplicates"] == 0


@on_both
async def test_a_plan_of_corrections_that_was_lost_with_the_server_is_made_anew(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(3, {"Duration": "soon"}))
        await visitor.approve()
        await visitor.results()
        await correct(visitor, Row_2__Duration="7d")
        address = visitor.sheet
    async with visiting(trial) as visitor:
        await visitor.get(address)
        assert "Plan with 1 corrected row" in visitor.text
        await visitor.post(f"{address}/plan", visitor.form(f"{address}/plan"))
        await visitor.ended("/plan", "Looking up leads")
        assert "1 lead will be shared" in visitor.text
        await visitor.approve()
        await visitor.results()
        assert "All 3 rows are shared." in visitor.text
        assert "corrected row" not in visitor.text


@on_both
async def test_a_correction_is_taken_back(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(3, {"Duration": "soon"}))
        await correct(visitor, Row_2__Duration="70d")
        action = f"{visitor.sheet}/take-back"
        await visitor.post(action, visitor.form(action) | {"only": "0"})
        await visitor.ended("/plan", "Looking up leads")
        assert "2 leads will be shared" in visitor.text
        assert [*fields(visitor)] == ["Row 2, Duration"]


@on_both
async def test_what_can_not_be_corrected_is_said_and_nothing_is_kept_twice(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(6, {"Duration": "soon"}))
        action = f"{visitor.sheet}/correct"
        await visitor.post(action, visitor.form(action))
        assert (visitor.status, "every cell says what it said" in visitor.text) == (400, True)
        assert "Confirm it" not in visitor.text, "there is nothing to confirm"
        form = visitor.form(action)
        await asyncio.gather(*(visitor.post(action, form | {"cell-0": "7d"}) for _ in range(2)))  # a double click
        assert visitor.status == 200
        await visitor.ended("/plan", "Looking up leads")
        await visitor.post(action, form | {"cell-0": "9d"})  # a second tab, or Back and again: it is the same form
        assert "6 leads will be shared" in await visitor.ended("/plan", "Looking up leads")
        await visitor.post(action, form | {"cell-0": "9d", "once": "another"})
        assert "Row 2 says something else by now" in visitor.text
        await visitor.get(f"{visitor.sheet}/plan")
        await visitor.approve()
        await visitor.results()
        await visitor.post(action, form | {"saw-0": "7d", "cell-0": "9d", "once": "late"})
        assert "Row 2 was sent, or begun" in visitor.text
        for form_key in ("", "0" * 64):
            await visitor.post(action, form | {"form_key": form_key, "once": form_key})
            assert visitor.status == 403
        assert trial.sandbox.report()["activities"] == 6


async def test_cells_with_markup_and_lines_come_back_as_they_were(trial: Trial) -> None:
    evil = '"><script>x</script>\nand a line'
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(3, {"Duration": evil}))
        assert "<script>x" not in visitor.text
        action = f"{visitor.sheet}/correct"
        await visitor.post(action, visitor.form(action) | {"cell-0": evil.replace("\n", "")})
        assert "every cell says what it said" in visitor.text, "a field has one line"
        await correct(visitor, Row_2__Duration="7d")
        assert "3 leads will be shared" in visitor.text
        assert "<script>x" not in visitor.text


async def test_who_corrects_a_sheet_does_not_approve_it_where_that_takes_two(trial: Trial) -> None:
    proxy: Any = {"origin": "http://share.example", "user_header": "X-User"}
    async with visiting(trial, two_people=True, **proxy) as visitor:
        visitor.sends = {"Origin": "http://share.example"}
        visitor.http.headers["X-User"] = "asha@example.com"
        await visitor.plan(sheet(3, {"Duration": "soon"}))
        visitor.http.headers["X-User"] = "ravi@example.com"
        await visitor.get(f"{visitor.sheet}/plan")
        assert 'action="' + f"{visitor.sheet}/approve" in visitor.text
        await correct(visitor, Row_2__Duration="7d")
        assert "Somebody else approves it" in visitor.text
        visitor.http.headers["X-User"] = "vera@example.com"
        await visitor.get(f"{visitor.sheet}/plan")
        await visitor.approve()
        assert "All 3 rows are shared." in await visitor.results()


# ------------------------------------------------------------------------------------------------ undo


async def shared(visitor: Visitor, content: bytes) -> None:
    """Share a sheet, and be at its results."""
    await visitor.plan(content)
    await visitor.approve()
    await visitor.results()


async def test_the_shares_of_one_user_are_revoked_and_no_others(trial: Trial) -> None:
    content = sheet(9, users=3)
    theirs = sheet_rows(3)[1][OWNER]
    async with visiting(trial) as visitor:
        await shared(visitor, content)
        action = f"{visitor.sheet}/undo"
        assert "9 shares of 3 people can be revoked." in await visitor.get(action)
        calls = visitor.sandbox_calls()
        await visitor.get(f"{action}?which=user&of={theirs}")
        assert "3 shares will be revoked from 1 person." in visitor.text
        await visitor.get(f"{action}?rows=&of={theirs}")
        assert "3 shares will be revoked from 1 person." in visitor.text, "who names one person means that one"
        assert visitor.sandbox_calls() == calls
        form = post_form(visitor, action)
        for missing in ({"sure": "yes"}, {"typed": "3"}, {"sure": "yes", "typed": "9"}):
            await visitor.post(action, form | missing)
            assert (visitor.status, "Nothing was revoked" in visitor.text) == (400, True)
        await visitor.post(action, form | {"sure": "yes", "typed": "3", "which": ""})
        assert "choose first whose shares are meant" in visitor.text
        assert trial.live() == 9
        form = form | {"sure": "yes", "typed": "3"}
        await visitor.post(action, form)
        await visitor.results()
        await visitor.post(action, form)  # a double click, or Back and again
        await visitor.results()
        assert "6 of 9 rows are shared." in visitor.text
        assert "3 revoked" in visitor.text
        assert trial.live() == 6
        stands = trial.sandbox.report()["live_shares"]["shares"]
        assert {each["user"] for each in stands} == {sheet_rows(3)[0][OWNER], sheet_rows(3)[2][OWNER]}


async def test_of_a_sheet_that_was_run_elsewhere_the_results_say_where_its_shares_are_renewed(trial: Trial) -> None:
    trial.write([HEADER, *sheet_rows(3)])
    await trial.run()
    trial.change(f"UPDATE rows SET ends_at = '{from_now(days=2)}'")
    async with visiting(trial) as visitor:
        (address,) = set(re.findall(r'href="(/r/\w+)"', await visitor.get("/")))
        await visitor.get(f"{address}/results")
        assert "They are renewed where the sheet was run" in visitor.text
        assert "Plan to renew" not in visitor.text


async def test_where_two_people_are_wanted_it_takes_two_to_revoke_and_to_try_the_account(trial: Trial) -> None:
    async with shared_by_two(trial, sheet(3)) as visitor:
        action, typed = f"{visitor.sheet}/undo", {"sure": "yes", "typed": "3"}
        await visitor.get(f"{action}?which=all")
        form = post_form(visitor, action) | typed
        for _ in range(2):
            await visitor.post(action, form)
            assert (visitor.status, "somebody else has confirmed the same" in visitor.text) == (400, True)
        tried = {"lead": "869400", "user": "x@example.com", "event": "201", "sure": "yes"}
        await visitor.get("/verify")
        await visitor.post("/verify", visitor.form("/verify") | tried)
        assert "somebody else has confirmed the same" in visitor.text
        assert trial.live() == 3
        visitor.http.headers["X-User"] = "asha"
        await visitor.get(f"{action}?which=rows&rows=2")  # something else: that is asked for anew
        await visitor.post(action, post_form(visitor, action) | {"sure": "yes", "typed": "1"})
        assert "somebody else has confirmed the same" in visitor.text
        await visitor.get(f"{action}?which=all")
        await visitor.post(action, post_form(visitor, action) | typed)
        await visitor.results()
        assert trial.live() == 0


def post_form(visitor: Visitor, action: str) -> dict[str, str]:
    """The form that changes something, where another of the same address only asks."""
    (inner,) = re.findall(
        rf'<form method="post" action="{re.escape(action)}">(.*?)</form>', visitor.text, re.DOTALL
    )
    return dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', inner))


@on_both
async def test_the_shares_of_rows_and_then_all_are_revoked(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await shared(visitor, sheet(9, users=3))
        action = f"{visitor.sheet}/undo"
        theirs = sheet_rows(1)[0][OWNER]
        for unclear in ("rows=&of=", f"rows=2&of={theirs}", "which=user&rows=2&of="):
            await visitor.get(f"{action}?{unclear}")
            assert (visitor.status, "choose first whose shares are meant" in visitor.text) == (400, True)
            assert "What it will do" not in visitor.text
        await visitor.get(f"{action}?rows=2-3&of=")
        assert "2 shares will be revoked" in visitor.text
        await visitor.get(f"{action}?which=rows&rows=nothing")
        assert visitor.status == 400
        await visitor.get(f"{action}?which=rows&rows=90-99")
        assert visitor.status == 400
        await visitor.get(f"{action}?which=rows&rows=")
        assert visitor.status == 400, "that is no choice, and never all of them"
        await visitor.get(f"{action}?which=rows&rows=2-3,10")
        assert "3 shares will be revoked from 3 people." in visitor.text or "from 2 people." in visitor.text
        await visitor.post(action, post_form(visitor, action) | {"sure": "yes", "typed": "3"})
        await visitor.results()
        assert trial.live() == 6
        await visitor.get(f"{action}?which=all")
        assert "6 shares will be revoked" in visitor.text
        stale = post_form(visitor, action) | {"shares": "5", "typed": "5", "sure": "yes"}
        await visitor.post(action, stale)
        await visitor.results()
        assert "by now it would be 6, so nothing was revoked" in visitor.text
        assert trial.live() == 6
        await visitor.get(f"{action}?which=all")
        await visitor.post(action, post_form(visitor, action) | {"sure": "yes", "typed": "6"})
        await visitor.results()
        assert trial.live() == 0
        assert "There is nothing to revoke" in await visitor.get(action)


async def test_a_revocation_that_was_lost_leads_to_revoking_its_rows_again_and_not_to_settling_them(
    trial: Trial,
) -> None:
    async with visiting(trial) as visitor:
        await shared(visitor, sheet(6))
        visitor.alter("UPDATE rows SET state = 'unknown', stage = 'revoke' WHERE sheet_row IN (3, 4, 6)")
        await visitor.get(visitor.sheet)
        assert "3 shares still to be revoked" in visitor.text
        assert "Settle" not in visitor.text
        await visitor.get(f"{visitor.sheet}/undo?which=rows&rows=3-4,6")
        assert "3 shares will be revoked from" in visitor.text


async def test_no_get_revokes_anything_and_only_our_own_form_does(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await shared(visitor, sheet(3))
        action = f"{visitor.sheet}/undo"
        await visitor.get(f"{action}?which=all")
        form = post_form(visitor, action) | {"sure": "yes", "typed": "3"}
        await visitor.get(action, params=form)
        await visitor.post(action, form, {"Origin": "http://evil.example"})
        assert visitor.status == 403
        await visitor.post(action, form | {"form_key": "0" * 64})
        assert visitor.status == 403
        assert trial.live() == 3


# ------------------------------------------------------------------------------------------------ renew, access


@on_both
async def test_what_ends_soon_is_renewed_by_a_plan_that_somebody_approves(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await shared(visitor, sheet(3))
        visitor.alter("UPDATE rows SET ends_at = :soon", soon=from_now(hours=1))  # most of its time is over
        await visitor.get(visitor.sheet)
        assert "Plan to renew 3 shares" in visitor.text
        assert "Nothing: every row is shared" not in visitor.text
        action = f"{visitor.sheet}/plan"
        await visitor.post(action, visitor.form(action) | {"deed": "renew"})
        await visitor.ended("/plan", "Looking up leads")
        assert "3 leads will be shared" in visitor.text
        assert "3 shares are renewed, each with an activity of its own." in visitor.text
        await visitor.approve()
        await visitor.results()
        assert "All 3 rows are shared." in visitor.text
        assert "Plan to renew" not in visitor.text
        assert "Nothing: every row is shared" in visitor.text
        assert trial.sandbox.report()["activities"] == 6


@on_both
async def test_access_now_by_user_and_by_lead(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_share.page.changes.ROWS_ON_PAGE", 2)
    async with visiting(trial) as visitor:
        assert "Nobody has access" in await visitor.get("/access")
        await shared(visitor, sheet(9, {"Duration": "30d"}, users=3))
        calls = visitor.sandbox_calls()
        await visitor.get("/access")
        assert "9 shares of 9 leads, with 3 people" in visitor.text
        assert "1 to 2 of 3" in visitor.text
        await visitor.get(f"/access?user={sheet_rows(1)[0][OWNER]}")
        assert re.search(r'data-label="Until">\d+ \w+ \d{4} \d\d:\d\d [A-Z]+<', visitor.text)
        assert "3 shares of 3 leads, with 1 person" in visitor.text
        assert "leads.csv, row 5" in re.sub("</?bdi>", "", visitor.text)
        assert f"/access?from=2&amp;user={sheet_rows(1)[0][OWNER]}" in visitor.text
        await visitor.get("/access?soon=yes")
        assert "8 shares of 8 leads" in visitor.text
        (number,) = re.findall(r"/access\?lead=(\d+)", visitor.text)[:1]
        await visitor.get(f"/access?lead={number}")
        assert "1 share of 1 lead, with 1 person" in visitor.text
        await visitor.get("/access?lead=nothing")
        assert "No such share is known here." in visitor.text
        await visitor.get("/access?user=Zoya+Shetty")
        assert "Nobody is known here by the e-mail address or Id <bdi>Zoya Shetty</bdi>" in visitor.text
        assert "No such share" not in visitor.text, "which reads as if she had no access"
        assert visitor.sandbox_calls() == calls
        assert str(trial.folder) not in visitor.text
    assert server.ROWS_ON_PAGE == 100


async def test_rows_that_are_skipped_for_shares_of_other_rows_are_no_shares_of_the_first(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(2), "o.csv")
        await visitor.approve()
        await visitor.results()
        await shared(visitor, sheet(3))
        assert re.search(r"Skipped rows 2 and 3, for example row 2: already shared .* by o.csv row 2", visitor.text)


async def test_access_says_how_many_shares_are_at_another_host(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await shared(visitor, sheet(3))
        assert "Left out" not in await visitor.get("/access")
        trial.changes["host"] = "http://127.0.0.1:9"
        await visitor.get("/access")
        assert "Nobody has access by what was shared from this machine in the account that is set." in visitor.text
        assert "Left out: 3 shares at another host, or of another account" in visitor.text


# ------------------------------------------------------------------------------------------------ failed rows


@on_both
async def test_failed_rows_that_are_dropped_again_lead_to_the_results_of_their_own_sheet(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await shared(visitor, sheet(6, {"Duration": "soon"}, {"Duration": "soon"}))
        first = visitor.sheet
        async with visitor.http.get(f"{visitor.origin}{first}/files/failed.csv") as answer:
            assert answer.status == 404, "only as a workbook"
        async with visitor.http.get(f"{visitor.origin}{first}/files/failed.xlsx") as answer:
            book = openpyxl.load_workbook(io.BytesIO(await answer.read()))
        page = book.worksheets[0]
        for row in page:
            for cell in row:
                cell.value = "7d" if cell.value == "soon" else cell.value
        book.save(out := io.BytesIO())
        await visitor.plan(out.getvalue(), "leads.failed.xlsx")
        assert "2 leads will be shared" in visitor.text
        await visitor.approve()
        await visitor.results()
        assert "All 6 rows are shared." in visitor.text
        assert visitor.path == f"{first}/results" or visitor.sheet != first
        await visitor.get(first)
        assert "All 6 rows are shared." in visitor.text
        await visitor.get("/")
        assert visitor.text.count("done</span>") == 1, "it is one job"
    async with visiting(trial) as visitor:  # as when it is started again
        await visitor.get("/")
        assert visitor.text.count("done</span>") == 1
        assert "not sent" not in visitor.text
        assert trial.sandbox.report()["duplicates"] == 0


def without_type(*wrong: dict[str, str]) -> bytes:
    """Four rows that name no type of activity."""
    lines = [line.rsplit(",", 1)[0] for line in sheet(4, *wrong).decode().splitlines()]
    return "\n".join(lines).encode()


async def to_fix(visitor: Visitor, at: str = "") -> Any:
    """The workbook of the rows to fix, of the sheet at this address or the one that is looked at."""
    async with visitor.http.get(f"{visitor.origin}{at or visitor.sheet}/files/failed.xlsx") as answer:
        return openpyxl.load_workbook(io.BytesIO(await answer.read()))


def said_in(book: Any, row: int, column: str, text: str | None = None) -> Any:
    """The cell of the row with this number of the sheet; with this text in it from now on, if there is one."""
    header, *rows = [list(cells) for cells in book.worksheets[0]]
    names = [cell.value for cell in header]
    (cells,) = [cells for cells in rows if str(cells[names.index("Sheet Row")].value) == str(row)]
    cell = cells[names.index(column)]
    cell.value = cell.value if text is None else text
    return cell.value


def as_file(book: Any) -> bytes:
    """The bytes of a workbook."""
    book.save(out := io.BytesIO())
    return out.getvalue()


async def partly_shared(visitor: Visitor, *wrong: dict[str, str], event: str = "201") -> str:
    """Share `page1.csv`, whose type of activity is said for all rows. The address of the sheet."""
    await visitor.upload(without_type(*wrong), "page1.csv")
    action = f"{visitor.sheet}/columns"
    await visitor.post(action, visitor.form(action) | {"event": event, "then": "plan"})
    await visitor.ended("/plan", "Looking up leads")
    await visitor.approve()
    await visitor.results()
    return visitor.sheet


@pytest.mark.parametrize("event", ["201", "Site visit"])
async def test_failed_rows_ask_for_nothing_that_their_job_has(trial: Trial, event: str) -> None:
    async with visiting(trial) as visitor:
        first = await partly_shared(visitor, {"Duration": "soon"}, {"Duration": "soon"}, event=event)
        book = await to_fix(visitor)
        said_in(book, 2, "Duration", "7d")
        await visitor.upload(as_file(book), "page1.failed.xlsx")
        assert "no column for Activity Event" not in visitor.text
        assert 'name="event"' not in visitor.text
        assert "page1.failed.xlsx" in visitor.text
        action = f"{visitor.sheet}/columns"
        await visitor.post(action, visitor.form(action) | {"then": "plan"})
        await visitor.ended("/plan", "Looking up leads")
        assert "1 lead will be shared" in visitor.text
        assert "page1_failed" not in visitor.text
        await visitor.approve()
        await visitor.results()
        assert "3 of 4 rows are shared" in visitor.text
        assert "1 mistake" not in visitor.text
        assert "corrected in page1.failed.xlsx" in visitor.text
        await visitor.get(first)
        assert visitor.path == f"{first}/results"


async def test_a_plan_from_before_fixed_rows_were_sent_is_not_shown_for_their_results(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        first = await partly_shared(visitor, {"Duration": "soon"}, {"Duration": "soon"})
        book = await to_fix(visitor)
        await correct(visitor, Row_3__Duration="later")  # which leaves a plan
        said_in(book, 2, "Duration", "7d")
        await visitor.upload(as_file(book), "page1.failed.xlsx")
        action = f"{visitor.sheet}/columns"
        await visitor.post(action, visitor.form(action) | {"then": "plan"})
        await visitor.ended("/plan", "Looking up leads")
        await visitor.approve()
        await visitor.results()
        assert visitor.path.endswith("/results")
        assert "3 of 4 rows are shared" in visitor.text
        await visitor.get(first)
        assert visitor.path.endswith("/results")


async def test_of_a_cell_that_was_corrected_twice_the_newest_correction_holds_and_is_told(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await partly_shared(visitor, {"Duration": "soon"}, {"Duration": "soon"}, {"Duration": "soon"})
        book = await to_fix(visitor)
        await correct(visitor, Row_2__Duration="3d", Row_3__Duration="4d")
        said_in(book, 3, "Duration", "5d")  # row 2 says `soon` there as before, row 4 too
        await visitor.upload(as_file(book), "page1.failed.xlsx")
        action = f"{visitor.sheet}/columns"
        await visitor.post(action, visitor.form(action) | {"then": "plan"})
        await visitor.ended("/plan", "Looking up leads")
        assert "2 leads will be shared" in visitor.text
        assert "row 2 as corrected on the page, which was later than in page1.failed.xlsx" in visitor.text
        assert "row 3 as page1.failed.xlsx says now, and no longer as corrected on the page" in visitor.text
        await visitor.approve()
        await visitor.results()
        assert "3 of 4 rows are shared" in visitor.text
        assert "Row 2, Duration: corrected on the page from" in unescape(visitor.text)
        assert "to '5d'" in unescape(visitor.text)
        await correct(visitor, Row_4__Duration="6d")
        assert "1 lead will be shared" in visitor.text


async def test_results_show_cells_as_they_were_corrected_last(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        first = await partly_shared(visitor, {"Duration": "soon"}, {"Duration": "soon"})
        await correct(visitor, Row_2__Duration="later")
        await visitor.get(f"{first}/results")
        await correct(visitor, Row_2__Duration="7d")
        assert "something else" not in visitor.text
        assert "1 lead will be shared" in visitor.text


async def test_while_fixed_rows_are_sent_their_own_sheet_leads_there(tmp_path: Path) -> None:
    gate = asyncio.Event()
    gate.set()

    async def hold(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint == CREATE:
            await gate.wait()
        return await step(call)

    async with Sandbox(options(), wrappers=[hold]) as sandbox, visiting(Trial(tmp_path, sandbox)) as visitor:
        await shared(visitor, sheet(4, {"Duration": "soon"}))
        first = visitor.sheet
        async with visitor.http.get(f"{visitor.origin}{first}/files/failed.xlsx") as answer:
            book = openpyxl.load_workbook(io.BytesIO(await answer.read()))
        for cell in (cell for row in book.worksheets[0] for cell in row if cell.value == "soon"):
            cell.value = "7d"
        book.save(out := io.BytesIO())
        await visitor.plan(out.getvalue(), "fixed.xlsx")
        fixed = visitor.sheet
        gate.clear()
        await visitor.approve()
        await visitor.under_way("</b> posted", "not begun")
        await visitor.get("/")
        assert visitor.text.count("going on</span>") == 2
        await visitor.get(f"{first}/results")
        assert "another program" not in visitor.text
        assert f'are just being sent: <a href="{fixed}">look at <bdi>fixed.xlsx</bdi>' in visitor.text
        gate.set()
        await visitor.get(fixed)
        await visitor.results()
        assert "All 4 rows are shared." in visitor.text
        await visitor.get("/")
        assert '<bdi>leads.csv</bdi></a> <span class="small">with <bdi>fixed.xlsx</bdi>' in visitor.text


async def test_unknown_rows_are_settled_and_leadsquared_is_asked_again(tmp_path: Path) -> None:
    troubles = {CREATE: "applied-reset", OF_LEAD: "500-mx", STATUS: "pending"}

    async def trouble(step: Step, call: SandboxCall) -> Reply:
        if (kind := troubles.get(call.endpoint)) is None:
            return await step(call)
        if call.endpoint == CREATE:  # the first one alone: it arrives, and its answer doesn't
            del troubles[CREATE]
        return await strike(kind, Particulars(FAST), step, call)

    async with (
        Sandbox(options(), wrappers=[trouble]) as sandbox,
        visiting(trial := Trial(tmp_path, sandbox)) as visitor,
    ):
        await shared(visitor, sheet(3))
        del troubles[OF_LEAD]
        action = f"{visitor.sheet}/do"
        for deed, label, rows in (("settle", "Settle 1 unknown row", 3), ("ask", "Ask again about 3 rows", 0)):
            assert label in visitor.text
            await visitor.post(action, visitor.form(action) | {"deed": deed})
            await visitor.results()
            assert (f"Ask again about {rows} rows" in visitor.text) is bool(rows)
            troubles.clear()  # they are processed by now
        assert "All 3 rows are shared." in visitor.text
        report = sandbox.report()
        assert (report["activities"], report["duplicates"], trial.live()) == (3, 0, 3)


async def test_a_button_that_would_do_nothing_is_not_shown(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await shared(visitor, sheet(3, {"Activity Event": "999"}))
        assert '"retry"' not in visitor.text, "it would be refused again"
        calls = visitor.sandbox_calls()
        action = f"{visitor.sheet}/do"
        assert "Retry all of 1 failed row<" in visitor.text
        await visitor.post(action, visitor.form(action) | {"deed": "retry-all"})
        await visitor.results()
        assert visitor.sandbox_calls() > calls


async def test_a_row_that_only_the_sheet_itself_can_mend_is_told(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        again = b"\r\n".join([sheet(3).rpartition(b",7d,201")[0], sheet(1).splitlines()[1]])
        await shared(visitor, again)
        assert "Skipped row 5: the same lead, user, access and activity as row 2." in visitor.text
        assert "1 row can only be fixed in the sheet itself, as the reason says" in visitor.text
        assert "<p>Nothing" not in visitor.text


def test_failed_rows_know_the_ledger_of_their_job_be_it_a_file_or_in_a_store() -> None:
    kept = Kept(
        "1", "leads.csv", "leads.csv", "", of="/srv/leads.csv.ledger.db", store=SecretStr("postgresql://x/y")
    )
    assert kept.ledger == LedgerName(Path("/srv/leads.csv.ledger.db"))
    in_store = LedgerName.of("leads", kept.store)
    assert str(Kept("1", "leads.csv", "leads.csv", "", of=str(in_store), store=kept.store).ledger) == str(in_store)


@on_both
async def test_cells_of_a_run_that_a_command_began_are_corrected_too(trial: Trial) -> None:
    content = sheet(6, {"Duration": "soon"}).replace(b"\r\n", b",,\r\n")  # two columns have no header
    (trial.folder / "leads.csv").write_bytes(content)
    assert (await trial.run()).summary.troubled == 1
    async with visiting(trial) as visitor:
        await visitor.get("/")
        (run,) = re.findall(r'href="(/r/\w+)"', visitor.text)
        await visitor.get(run)
        action, form = f"{run}/correct", visitor.form(f"{run}/correct")
        await visitor.post(action, form | {"saw-0": "later", "cell-0": "7d"})
        assert "Row 2 says something else by now" in visitor.text
        assert not [*(trial.folder / "page").glob("*_*")]
        await visitor.post(action, form | {"cell-0": "7d", "once": "another"})
        await visitor.ended("/plan", "Looking up leads")
        assert "1 lead will be shared" in visitor.text
        await visitor.approve()
        await visitor.results()
        assert "All 6 rows are shared." in visitor.text
        await visitor.get(run)
        assert "All 6 rows are shared." in visitor.text
    assert (await trial.run()).sent == 0
    assert trial.sandbox.report()["activities"] == 6
