"""`kill -9` while a sheet revokes what another shared, and shares it anew; then the same command again.

`make test` does a small part of it; with KILLS=200 or more, each point is hit at the first and at the second row.
"""

from __future__ import annotations

import csv
import os
from itertools import product
from typing import TYPE_CHECKING

import pytest
from forks import KILLED, Forks
from kills import AT_THE_SERVER, OF_RETRY, OF_REVOKE, Killer
from storm import Storm
from trial import HEADER, Trial, options, sheet_rows

from batch_share.ledger.states import State
from batch_share.sandbox import Sandbox
from batch_share.sandbox.sheets import active_users

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 4
POINTS = [*OF_REVOKE, *(point for point in OF_RETRY if point != "put-back")]
MANY = int(os.environ.get("KILLS", "0")) >= 200
ALL = [(point, hit) for point, hit in product(POINTS, (1, 2)) if (point, hit) != ("put-back", 2)]  # all at once
CHOSEN = ALL if MANY else ALL[::5]


def acting(it: Trial) -> set[tuple[str, str]]:
    """Write a sheet that gives every second lead to another user and takes the others back; who sees which then."""
    users = [user.id for user in active_users(it.sandbox.world)]
    rows = [[*row, "revoke"] for row in sheet_rows(ROWS, it.sandbox.world)]
    for at in range(0, ROWS, 2):
        rows[at][2], rows[at][-1] = users[at + 1], "reassign"
    with (it.folder / "leads.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([(*HEADER, "Action"), *rows])
    return {(row[1], row[2]) for row in rows[::2]}


@pytest.mark.parametrize(("point", "hit"), CHOSEN)
async def test_whatever_kills_it_nobody_has_a_lead_beside_whom_it_was_given_to(
    tmp_path: Path, forks: Forks, point: str, hit: int
) -> None:
    killer = [Killer(point, hit)] if point.rpartition(":")[2] in AT_THE_SERVER else []
    folders = tmp_path / "first", tmp_path / "second"
    for folder in folders:
        folder.mkdir()
    data = {"data_folder": tmp_path / "data"}
    async with Sandbox(options(), wrappers=killer) as sandbox:
        first, second = (Trial(folder, sandbox, data) for folder in folders)
        first.write(sheet_rows(ROWS, sandbox.world))
        assert (await first.run()).summary.states == {State.SHARED: ROWS}
        own = {"BATCH_SHARE_DATA_FOLDER": str(tmp_path / "data"), "BATCH_SHARE_MAX_REVOKES": str(ROWS)}
        storm = Storm(second, forks, ROWS, own=own)
        wanted = acting(second)
        code = await (storm.run_into(killer[0]) if killer else storm.run([point, hit]))
        assert code == KILLED, storm.said()
        for _ in range(2):
            ending = await second.run()
        assert ending.summary.states == {State.SHARED: 2, State.REVOKED: 2}, ending.remarks
        report = sandbox.report()
        assert {(each["lead"], each["user"]) for each in report["live_shares"]["shares"]} == wanted
        assert report["duplicates"] == 0
        assert report["live_shares"]["count"] == len(wanted)
        assert first.rows("state") == [("revoked",)] * ROWS
