"""A plan and the run that it is of say the same, number for number, whatever the sheet and its ledger are."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from trial import HEADER, Onlooker, Refuses, Trial, options
from virtual_time import run_virtually
from virtual_trial import in_virtual_time, wall

from batch_share.common import Rate
from batch_share.errors import DailyLimitReached, SheetError
from batch_share.jobs.run import RunSheet
from batch_share.leadsquared.account import name_of_account
from batch_share.ledger.files import LedgerName, read_ledger
from batch_share.ledger.known import open_history, refresh
from batch_share.planning.intake import SheetJob, show_sheet
from batch_share.planning.plan import SheetOptions
from batch_share.sandbox.sheets import active_users
from batch_share.sheet.rows import Selection

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

LEADS, ROWS = 6, 8
EXAMPLES = 60 if os.environ.get("EVERY") == "1" else 8
"""Each takes a second, and by chance others are chosen each time: what eight miss, the next runs meet."""

COLUMNS = (*HEADER, "Until", "Start", "Action")

FOUND = {
    "pending": (None,),
    "posting": (None,),
    "posted": (None,),
    "sharing": (None,),
    "accepted": (None,),
    "shared": (None,),
    "failed": ("activity", "share", "processing", "revoke", "earlier"),
    "unknown": ("activity", "share", "revoke"),
    "to_revoke": (None,),
    "revoking": (None,),
    "ending": (None,),
    "revoked": (None,),
}
"""The states that earlier runs leave rows in, each with the stages it may have."""

CHANGES: dict[str, Sequence[Any]] = {
    "bulk": (True,),
    "follow_up": (False,),
    "allow_duplicates": (True,),
    "max_rows": (2,),
    "max_per_user": (1,),
    "daily_limit": (10, 1000),
    "renew": ("1d", "9d"),
    "force": (True,),
    "rate": (Rate(10, 1.0),),
}


def rows_of(chance: Random, it: Trial) -> list[list[str]]:
    """Good rows, mistakes, repeats, rows that wait for their time, and such as revoke."""
    users = [user.id for user in active_users(it.sandbox.world)[:3]]
    rows: list[list[str]] = []
    for _ in range(chance.randint(1, ROWS)):
        lead = chance.choice(it.sandbox.world.leads[:LEADS])
        row = [lead.id, str(lead.number), chance.choice(users), "read", "7d", "201", "", "", ""]
        row[3] = chance.choice(["read", "read", "write", "all"])
        row[4] = chance.choice(["7d", "7d", "100d", "30m", "long"])
        row[5] = chance.choice(["201", "201", "202", "9"])
        if chance.random() < 0.2:
            row[4], row[6] = "", f"{wall() + timedelta(days=chance.choice([1, 8, 200])):%Y-%m-%d %H:%M}"
        if chance.random() < 0.2:
            row[7] = f"{wall() + timedelta(days=1):%Y-%m-%d %H:%M}"
        row[8] = chance.choice(["", "", "", "share", "revoke", "reassign", "Remove"])
        if chance.random() < 0.1:
            row[0] = chance.choice(["", "nobody", row[2]])
        rows.append(row)
        if chance.random() < 0.2:
            rows.append([*row])
    return rows


def write(it: Trial, rows: Sequence[Sequence[str]]) -> None:
    with (it.folder / "leads.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([COLUMNS, *rows])


async def both(it: Trial, chosen: SheetOptions, changes: dict[str, Any]) -> tuple[Any, Any]:
    """What a plan says of the sheet, and what a run that nobody agrees to; each begins with the same files."""
    sheet, kept = it.folder / "leads.csv", it.folder.parent / "kept"
    shutil.copytree(it.folder, kept)
    plan = await show_sheet(sheet, chosen, it.settings(**changes), Onlooker())
    shutil.rmtree(it.folder)
    kept.rename(it.folder)
    ending = await it.do(RunSheet(SheetJob(sheet, LedgerName.of_sheet(sheet), chosen)), Refuses(), **changes)
    return plan.as_json(), ending.preview and ending.preview.plan


async def end_otherwise(it: Trial, chance: Random) -> None:
    """Let some of the rows that were shared be in other states, and the index of runs know of it."""
    for (row_id,) in it.query("SELECT id FROM rows WHERE lead_id IS NOT NULL AND state = 'shared'"):
        if chance.random() < 0.5:
            state = chance.choice([*FOUND])
            it.change(f"UPDATE rows SET state = '{state}', stage = NULL WHERE id = {row_id}")
            if stage := chance.choice(FOUND[state]):
                it.change(f"UPDATE rows SET stage = '{stage}' WHERE id = {row_id}")
    columns = "row_id, run_id, step, sent_at"
    it.change(f"INSERT INTO attempts ({columns}) SELECT {columns} FROM attempts ORDER BY id DESC LIMIT 1")
    async with read_ledger(it.name) as ledger:
        with open_history(it.folder / "data") as history:
            await refresh(history, ledger, name_of_account(it.settings()))


async def compared(it: Trial, chance: Random) -> None:
    """Two sheets of one account, the second run before or not; then a plan of it as it is by then, and its run."""
    folders = {name: it.folder / name.removesuffix("_folder") for name in ("state_folder", "data_folder")}
    other = Trial(it.folder / "other", it.sandbox, it.changes | folders)
    other.folder.mkdir()
    write(other, rows_of(chance, it))
    await other.run(chance.choice([Onlooker(), Onlooker(), Refuses()]))
    rows = rows_of(chance, it)
    if chance.random() < 0.7:
        earlier = rows_of(chance, it)
        write(it, earlier)
        await it.run(chance.choice([Onlooker(), Onlooker(), Refuses()]))
        await end_otherwise(it, chance)
        rows = [*(row for row in earlier if chance.random() < 0.8), *rows]
        chance.shuffle(rows)
    write(it, rows)
    chosen = SheetOptions(selection=chance.choice([Selection(), Selection(limit=3), Selection(ranges=((3, 6),))]))
    names = chance.sample([*CHANGES], chance.choice([0, 0, 1, 2]))
    changes = {name: chance.choice(CHANGES[name]) for name in names}
    for _ in range(2):  # a sheet that its ledger does not know, and then does
        try:
            planned, previewed = await both(it, chosen, changes)
        except (SheetError, DailyLimitReached):  # the choice is of no row; as many calls were made already
            return
        assert previewed == planned, (changes, chosen.selection)


@given(st.randoms(use_true_random=False))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[*HealthCheck])
def test_a_plan_says_what_its_run_says(chance: Random) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        place = Path(folder) / "it"
        place.mkdir()
        it = in_virtual_time(place, monkeypatch, options(leads=LEADS + 1), rows=1, timezone="UTC")
        run_virtually(compared(it, chance))
