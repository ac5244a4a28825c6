"""What the page has besides sharing: history, what may be deleted of it, checks of the account, the manual."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from html import unescape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from trial import HEADER, Trial, sheet_rows
from visiting import Visitor, on_both, shared_by_two, visiting

from batch_share.common import Rate
from batch_share.ledger.files import LedgerName
from batch_share.ledger.known import KnownRun
from batch_share.page.words import how_it_ended, how_it_stands
from batch_share.sheet.reader import open_sheet

if TYPE_CHECKING:
    from pathlib import Path


def sheet(rows: int, after: int = 0) -> bytes:
    """A sheet of so many leads, those after the first ones."""
    return "\n".join(",".join(row) for row in [HEADER, *sheet_rows(after + rows)[after:]]).encode()


async def shared(visitor: Visitor, name: str = "leads.csv", rows: int = 3) -> None:
    """Share a sheet."""
    await visitor.plan(sheet(rows), name)
    await visitor.approve()
    await visitor.results()
    assert "What became of it" in visitor.text


def aged(visitor: Visitor, days: int) -> None:
    """Let all runs, and the shares by them, be so old."""
    ago = before_now(days)
    visitor.alter(
        "UPDATE runs SET ended_at = :ago",
        "UPDATE rows SET ends_at = :ago, state = 'ended' WHERE state = 'shared'",
        ago=ago,
    )


@pytest.mark.parametrize(
    ("ended", "stands", "said"),
    [
        ("done (1,204 calls were refused; the limit is 25/5s)", "done", ""),
        ("not confirmed", "not begun, nobody confirmed it", ""),
        ("stopped", "stopped", "It was stopped"),
        ("https://x.example could not be reached (7 tries).", "stopped", "It ended before it was done"),
    ],
)
def test_what_history_says_of_how_a_run_ended(ended: str, stands: str, said: str) -> None:
    at, ledger = datetime(2026, 3, 1), LedgerName.of("leads.csv.ledger.db")  # noqa: DTZ001 - the index is in UTC
    run = KnownRun("bcdfghjk", ledger, "", 1, "revoke", "leads.csv", at, at, ended, {"shared": 1}, None)
    assert how_it_stands(run, goes_on=False, waits=False)[0] == stands
    assert how_it_ended(run).startswith(said)
    assert bool(how_it_ended(run)) == bool(said)


def before_now(days: int) -> str:
    """So long ago, as a ledger has it."""
    return (datetime.now(UTC).replace(tzinfo=None) - timedelta(days)).isoformat(" ", "microseconds")


@on_both
async def test_history_has_each_run_with_who_it_was_and_what_was_noted(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy: Any = {"origin": "http://share.example", "user_header": "X-User"}
    async with visiting(trial, **proxy) as visitor:
        visitor.sends = {"Origin": "http://share.example"}
        visitor.http.headers["X-User"] = "asha@example.com"
        await visitor.plan(sheet(3), "march.csv")
        visitor.http.headers["X-User"] = "<b>ravi@example.com"
        await visitor.get(f"{visitor.sheet}/plan")
        await visitor.approve()
        await visitor.results()
        note = f"{visitor.sheet}/note"
        await visitor.post(note, visitor.form(note) | {"note": " For the fair \n in Pune "})
        assert visitor.form(note)["note"] == "For the fair in Pune"
        await visitor.plan(sheet(2, 10), "april.csv")
        await visitor.approve()
        await visitor.results()
        whole = await visitor.get("/history")
        for said in ("march.csv", "april.csv", "For the fair in Pune", "asha@example.com", "3 shared"):
            assert said in whole
        assert "<b>ravi" not in whole
        assert "&lt;b&gt;ravi@example.com" in whole
        for wanted, of_march in (("pune", True), ("RAVI", True), ("march", True), ("nothing", False)):
            found = await visitor.get(f"/history?name={wanted}")
            assert ("march.csv" in found) is of_march, wanted
        assert "There is no such run." in found
        assert "march.csv" in await visitor.get("/history?which=good")
        assert "There is no such run." in await visitor.get("/history?which=doubt")
        monkeypatch.setattr("batch_share.page.upkeep.RUNS_ON_PAGE", 1)
        first, second = await visitor.get("/history"), await visitor.get("/history?from=1")
        assert "2 runs" in first
        assert ("april.csv" in first, "march.csv" in first) == (True, False)
        assert ("april.csv" in second, "march.csv" in second) == (False, True)


@on_both
async def test_what_is_old_is_deleted_with_the_copy_of_its_sheet_and_what_is_needed_stays(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await shared(visitor, "old.csv")
        aged(visitor, 100)
        await shared(visitor, "new.csv", 2)
        (kept,) = (each for each in visitor.server._shelf.all() if each.name == "old.csv")
        text = await visitor.get("/history/purge?older=a+while")
        assert visitor.status == 400
        assert 'aria-invalid="true"' in text
        assert "Nothing is old" in await visitor.get("/history/purge?older=200d")
        text = await visitor.get("/history/purge?older=90d")
        assert "1 ledger will be deleted" in text
        assert ("old.csv" in text, "new.csv" in text) == (True, False)
        form = visitor.form("/history/purge") if 'method="post"' not in text else forms(visitor)
        for said, why in (
            ({}, "tick the box first"),
            ({"sure": "yes", "typed": "2"}, "type 1, the number"),
            ({"sure": "yes", "typed": "1", "sheets": "2"}, "has changed since"),
        ):
            await visitor.post("/history/purge", form | said)
            assert visitor.status == 400
            assert why in visitor.text
            assert kept.ledger.exists()
        for _ in range(2):  # a double click
            await visitor.post("/history/purge", form | {"sure": "yes", "typed": "1"})
            assert "and 1 uploaded sheet were deleted." in visitor.text
        assert {each.name for each in kept.folder.iterdir()} == {"page.json"}
        text = await visitor.get("/history?which=purged")
        assert "old.csv" in text
        assert "3 ended" in text or "3 shared" in text  # its counts stay
        assert "new.csv" not in text
        assert "old.csv" in await visitor.get("/")


async def test_where_two_people_are_wanted_it_takes_two_to_delete(trial: Trial) -> None:
    async with shared_by_two(trial, sheet(3)) as visitor:
        aged(visitor, 100)
        (kept,) = visitor.server._shelf.all()
        for user, is_deleted in (("ravi", False), ("Ravi", False), ("asha", True)):
            visitor.http.headers["X-User"] = user
            await visitor.get("/history/purge?older=90d")
            await visitor.post("/history/purge", forms(visitor) | {"sure": "yes", "typed": "1"})
            assert ("somebody else has confirmed the same" in visitor.text) is not is_deleted
            assert kept.ledger.exists() is not is_deleted
        assert "and 1 uploaded sheet were deleted." in visitor.text


def forms(visitor: Visitor) -> dict[str, str]:
    """The form of a page that sends, where another one that asks has its address too."""
    visitor.text = visitor.text[visitor.text.index('<form method="post"') :]
    return visitor.form("/history/purge")


@on_both
async def test_what_may_not_go_is_told_with_its_reason_and_no_place(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await shared(visitor, "live.csv")
        visitor.alter("UPDATE runs SET ended_at = :ago", ago=before_now(100))
        text = await visitor.get("/history/purge?older=90d")
        assert "3 of its shares are live, the last until" in text
        assert "live.csv" in text
        assert str(trial.folder) not in text


@on_both
async def test_all_activities_are_checked_on_the_results_page(trial: Trial) -> None:
    trial.changes["audit_pages"] = 5
    async with visiting(trial) as visitor:
        await shared(visitor)
        deed = f"{visitor.sheet}/do"
        await visitor.get(f"{visitor.sheet}/results")
        visitor.text = visitor.text[visitor.text.index("Is each activity there once?") :]
        await visitor.post(deed, visitor.form(deed) | {"deed": "audit"})
        assert ": of 3 activities posted, LeadSquared has each once." in await visitor.results()
        assert "Proved at " in visitor.text
        found = '{"verdict": "doubles", "expected": 3, "seen": 4, "found": 1, "unread": {}, "again": null, '
        found += '"named": [{"sheet_row": 2, "extra": ["<i>"], "ours": "the-right-one", "shared": true}]}'
        visitor.alter("UPDATE about SET value = :found WHERE name = 'audit'", found=found)
        text = await visitor.get(f"{visitor.sheet}/results")
        assert "1 row has activities in LeadSquared that should not be there." in text
        assert "the-right-one" in text
        assert "&lt;i&gt;" in text


async def test_the_account_is_tried_only_once_that_is_agreed_to_and_all_is_revoked(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.get("/verify")
        form = visitor.form("/verify")
        lead, user = trial.sandbox.world.leads[0], trial.sandbox.world.users[0]
        said = {"lead": str(lead.number), "user": user.email, "event": "201"}
        for missing, why in (({"lead": " "}, "name a lead, a user"), ({}, "tick the box first")):
            text = await visitor.post("/verify", form | said | missing)
            assert visitor.status == 400
            assert why in text
            assert unescape(visitor.form("/verify")["user"]) == user.email
        assert visitor.sandbox_calls() == 0
        text = await visitor.post("/verify", form | said | {"sure": "yes"})
        assert "It is being tried" in text
        await visitor.post("/verify", form | said | {"sure": "yes", "once": "another"})  # one at a time
        async with asyncio.timeout(60):
            while "It is being tried" in await visitor.get("/verify"):  # noqa: ASYNC110 - as people reload
                await asyncio.sleep(0.05)
        assert "What was seen" in visitor.text
        assert len({call["lead"] for call in trial.sent("ProspectActivity.svc/Create")}) == 1
        assert trial.live() == 0
        assert '"verify": 1' in await visitor.get("/verify/file")
        assert "attachment" in visitor.headers["Content-Disposition"]
        await visitor.get("/verify")
        await visitor.post(
            "/verify", visitor.form("/verify") | said | {"lead": "nobody@example.com", "sure": "yes"}
        )
        async with asyncio.timeout(60):
            while "It is being tried" in await visitor.get("/verify"):  # noqa: ASYNC110 - as people reload
                await asyncio.sleep(0.05)
        assert 'role="alert"' in visitor.text


async def test_a_server_that_ends_revokes_what_a_trial_has_shared(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        await visitor.get("/verify")
        assert (await visitor.get("/verify/file")).count("There is no such page.") == 1
        await visitor.get("/verify")
        lead, user = trial.sandbox.world.leads[0], trial.sandbox.world.users[0]
        said = {"lead": lead.id, "user": user.id, "event": "201", "sure": "yes"}
        await visitor.post("/verify", visitor.form("/verify") | said)
        async with asyncio.timeout(60):
            while not trial.sent("EntityAccess.svc/Share"):  # noqa: ASYNC110 - the sandbox tells nobody
                await asyncio.sleep(0.01)
        await visitor.server.drain()
        assert trial.live() == 0


async def test_the_manual_can_be_read_on_the_page(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        text = await visitor.get("/manual")
        assert text.index("/manual/page") < text.index("/manual/sheets") < text.index("/manual/accounts")
        text = await visitor.get("/manual/page")
        assert '<h1 tabindex="-1">Page: share sheets in a browser, without a terminal</h1>' in text
        assert '<th scope="col">role</th>' in text
        assert "<!--" not in text
        assert "<code>batch-share serve</code>" in text
        for name in [*files("batch_share").joinpath("manual").iterdir()]:
            text = await visitor.get(f"/manual/{name.name.removesuffix('.md')}")
            assert visitor.status == 200
            assert text.count("<h1") == 1
            assert " style=" not in text
        await visitor.get("/manual/nothing")
        assert visitor.status == 404


@on_both
async def test_pages_that_poll_a_large_run_read_none_of_its_shares_and_ask_for_no_lock(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> None:
        raise AssertionError("all shares of a run that goes on were read")

    async with visiting(trial) as visitor:
        await shared(visitor)
        visitor.alter("UPDATE runs SET ended_at = NULL, ended = NULL")
        (kept,) = visitor.server._shelf.all()
        monkeypatch.setattr("batch_share.ledger.known._note_live", never)
        with kept.ledger.locked():
            assert "going on" in await visitor.get("/")


async def test_a_sheet_is_read_once_however_often_its_columns_are_shown(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[str]()

    def opening(path: Path, *given: Any) -> Any:
        read.append(path.name)
        return open_sheet(path, *given)

    monkeypatch.setattr("batch_share.planning.overview.open_sheet", opening)
    async with visiting(trial) as visitor:
        await visitor.upload(sheet(3))
        for _ in range(3):
            await visitor.get(f"{visitor.sheet}/columns")
        assert len(read) == 1
        (file,) = (trial.folder / "page").glob("*/leads.csv")
        file.write_bytes(sheet(4))
        assert "4 rows" in await visitor.get(f"{visitor.sheet}/columns")
        form = visitor.form(f"{visitor.sheet}/columns")
        await visitor.post(f"{visitor.sheet}/columns", form | {"then": "look", "duration": "9d"})
        assert len(read) == 3, "what is said of it counts"
        file.unlink()
        await visitor.get(f"{visitor.sheet}/columns")
        assert "The sheet was deleted with its old runs" in visitor.text


@on_both
async def test_a_run_that_waits_for_the_account_says_for_which_sheet_and_goes_on_then(trial: Trial) -> None:
    trial.changes["rate"] = Rate(4, 1.0)
    async with visiting(trial) as visitor:
        await visitor.plan(sheet(12), "first.csv")
        await visitor.approve()
        first = visitor.sheet
        await visitor.under_way("</b> posted")  # else the other one may have the account first
        await visitor.upload(sheet(3, 20), "second.csv")
        action = f"{visitor.sheet}/columns"
        await visitor.post(action, visitor.form(action) | {"then": "plan"})
        second = visitor.sheet
        waits = "Waiting for “first.csv”, which has the same account; then this goes on."
        async with asyncio.timeout(20):
            while waits not in await visitor.get(f"{second}/plan"):
                assert "How far it is" in await visitor.get(f"{first}/run"), "it has not ended before"
        assert "Waiting for" not in await visitor.get(f"{first}/run")
        trial.changes["rate"] = Rate(40, 1.0)
        await visitor.get(f"{second}/plan")
        await visitor.ended("/plan", "Looking up leads")
        assert "3 leads will be shared with" in visitor.text
