"""The manual's recipes for schedules, as they stand there, on their own schedule, over weeks of virtual time.

A recipe is what its reader copies, so its text is what is run: for as long as its shares take to end, and to be
renewed, more than once.
"""

from __future__ import annotations

import asyncio
import csv
import io
import os
import re
import shlex
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
from recipes import FOLDER, INSTALLED, run_task, snippet, units
from trial import CREATE, KEY, SECRET, Trial, options, sheet_rows
from virtual_time import VirtualTimeLoop
from virtual_trial import START, in_virtual_time, wall

from batch_share.cli.app import app
from batch_share.common import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COMMANDS: Any = typer.main.get_command(app)
"""Made once: it takes as long as a command that finds nothing to do."""

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
HOURS = 1 if os.environ.get("EVERY") == "1" else 6
"""How many hours pass between two starts of the hourly command: most of 500 find nothing to do."""

NEVER = datetime(2999, 1, 1, tzinfo=UTC)
NAMED = {"hourly": "0 * * * *", "daily": "0 0 * * *"}
"""The schedules that systemd and Airflow have names for, as cron says them."""

KEPT, MORE_KEPT, TAKEN_OUT, WITH_UNTIL, LATECOMER = range(5)
"""The rows of the sheet, by what becomes of them."""


@dataclass(slots=True)
class Account:
    """A sandbox, a sheet and the commands of a recipe between them, all in one virtual time.

    `shares` are all that ever stood, by lead and activity, each from when until when.
    """

    it: Trial
    clock: asyncio.Runner
    codes: list[int] = field(default_factory=list)
    commands: list[list[str]] = field(default_factory=list)
    shares: dict[int, dict[str, tuple[datetime, datetime]]] = field(default_factory=dict)

    def start(self, command: list[str], cwd: str, **_: Any) -> subprocess.CompletedProcess[str]:
        """What a shell, systemd or Python's `subprocess.run` does."""
        installed, *arguments = command
        assert (installed, cwd) == (INSTALLED, FOLDER)
        self.commands.append(arguments)
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = COMMANDS.main(arguments, "batch-share", standalone_mode=False)
        self.codes.append(code)
        return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())

    def live(self) -> set[int]:
        """The rows whose lead is shared now."""

        async def look() -> None:
            leads = [row[0] for row in sheet_rows(5, self.it.sandbox.world)]
            for grant in self.it.sandbox.account.live_shares():
                assert grant.expires is not None
                row = leads.index(grant.lead.id)
                begin = grant.expires - timedelta(minutes=grant.minutes)
                self.shares.setdefault(row, {})[grant.activity.id] = begin, grant.expires
                now.add(row)

        now: set[int] = set()
        self.clock.run(look())
        return now

    def sleep_until_due(self, schedule: str) -> datetime:
        """Let the time pass until cron would start a command with this schedule."""
        due = self.now() + MINUTE
        while not all(
            wanted in {"*", str(there)}
            for wanted, there in zip(
                schedule.split(), (due.minute, due.hour, due.day, due.month, due.isoweekday() % 7), strict=True
            )
        ):
            due += MINUTE
        self.clock.run(asyncio.sleep((due.replace(second=0, microsecond=0) - self.now()).total_seconds()))
        return due

    def now(self) -> datetime:
        """The date of this account."""

        async def now() -> datetime:
            return wall()

        return self.clock.run(now())

    def write(self, *rows: int, until: datetime | None = None) -> None:
        """Write the sheet with these rows; `until` when the one lasts that says so."""
        says = "" if until is None else f"{until:%Y-%m-%d %H:%MZ}"
        all_rows = sheet_rows(5, self.it.sandbox.world)
        with (self.it.folder / "leads.csv").open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows(
                [
                    ("Lead Id", "Lead Number", "User Id", "Access", "Until"),
                    *([*all_rows[row][:4], says if row == WITH_UNTIL else ""] for row in rows),
                ]
            )


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """With the settings in the file that the recipes find in their folder."""
    settings = {"HOST": "http://127.0.0.1", "ACCESS_KEY": KEY, "SECRET_KEY": SECRET, "RATE": "500/100ms"}
    settings |= {f"{name.upper()}_FOLDER": str(tmp_path / name) for name in ("state", "data", "log")}
    env = tmp_path / ".env"
    env.write_text("".join(f"BATCH_SHARE_{name}={value}\n" for name, value in settings.items()))
    env.chmod(0o600)
    for name in [name for name in os.environ if name.startswith("BATCH_SHARE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    it = in_virtual_time(tmp_path, monkeypatch, options())
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as clock:
        monkeypatch.setattr(asyncio, "run", clock.run)
        yield Account(it, clock)


def by_cron(account: Account, _: pytest.MonkeyPatch) -> tuple[str, Callable[[], object]]:
    """The schedule of its line, and what cron does of it."""
    *fields, line = snippet("cron").split(maxsplit=5)
    there, command = line.split(" && ")
    return " ".join(fields), lambda: account.start(shlex.split(command), there.removeprefix("cd "))


def by_systemd(account: Account, _: pytest.MonkeyPatch) -> tuple[str, Callable[[], object]]:
    """The schedule of the timer, and what the service does."""
    service, timer = units(str)
    asked = service["Service"]
    return NAMED[timer["Timer"]["OnCalendar"]], lambda: account.start(
        shlex.split(asked["ExecStart"]), asked["WorkingDirectory"]
    )


def by_airflow(account: Account, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Callable[[], object]]:
    """The schedule of the DAG, and its task, which raises what Airflow is to know of."""
    text = snippet("airflow")
    found = re.search(r'schedule="@(\w+)"', text)
    assert found is not None
    monkeypatch.setattr(subprocess, "run", account.start)
    return NAMED[found[1]], lambda: run_task(text, monkeypatch)


@pytest.mark.parametrize("recipe", [by_systemd, by_airflow], ids=["systemd", "airflow"])
def test_a_recipe_starts_the_command_of_cron_as_often_as_cron(
    account: Account, monkeypatch: pytest.MonkeyPatch, recipe: Any
) -> None:
    """So what becomes of a sheet in weeks is what becomes of it by cron."""
    account.write(KEPT)
    often = []
    for schedule, start in (by_cron(account, monkeypatch), recipe(account, monkeypatch)):
        account.sleep_until_due(schedule)
        due = [account.sleep_until_due(schedule) for _ in range(26)]
        often.append({round((later - earlier) / MINUTE) for earlier, later in pairwise(due)})
        start()
        assert account.live() == {KEPT}
    assert often[0] == often[1]
    assert account.commands[0] == account.commands[1]
    assert account.codes == [0, 0]


def test_the_recipe_for_cron_keeps_the_rows_of_the_sheet_shared_and_ends_them_for_good(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, start = by_cron(account, monkeypatch)

    def go_on(days: int, ends: dict[int, datetime]) -> None:
        """Let the schedule start its command until then: these rows are shared, all the time, and no others."""
        while True:
            for _ in range(HOURS):
                now = account.sleep_until_due(schedule)
            if now >= START + days * DAY:
                return
            stand = {row for row, end in ends.items() if end > now}
            assert account.live() == stand & account.shares.keys()  # but for what was never sent yet
            start()
            assert account.codes[-1] == 0
            assert account.live() == stand

    rows = (KEPT, MORE_KEPT, TAKEN_OUT, WITH_UNTIL)
    account.write(*rows)
    go_on(13, ends := dict.fromkeys(rows, NEVER))
    assert {row: len(shares) for row, shares in account.shares.items()} == dict.fromkeys(rows, 3)

    ends[WITH_UNTIL] = (START + 20 * DAY).replace(minute=30, second=0, microsecond=0)
    ends[TAKEN_OUT] = max(end for _, end in account.shares[TAKEN_OUT].values())
    account.write(KEPT, MORE_KEPT, WITH_UNTIL, until=ends[WITH_UNTIL])
    go_on(21, ends)
    account.write(KEPT, MORE_KEPT, WITH_UNTIL, LATECOMER, until=ends[WITH_UNTIL])
    go_on(22, ends | {LATECOMER: NEVER})

    (command,) = {tuple(each) for each in account.commands}
    lasting, before_end = (
        timedelta(minutes=parse_duration(command[command.index(name) + 1])) for name in ("--duration", "--renew")
    )
    shared = {row: sorted(shares.values()) for row, shares in account.shares.items()}
    assert [len(shared[row]) for row in range(5)] == [4, 4, 3, 4, 1]
    assert len(account.it.sent(CREATE)) == 16
    for shares in shared.values():
        overlaps = [earlier[1] - later[0] for earlier, later in pairwise(shares)]
        assert all(timedelta(0) <= each <= before_end for each in overlaps)
    assert {end - begin for row in (KEPT, MORE_KEPT, TAKEN_OUT, LATECOMER) for begin, end in shared[row]} == {
        lasting
    }
    assert timedelta(0) <= shared[WITH_UNTIL][-1][1] - ends[WITH_UNTIL] <= MINUTE
