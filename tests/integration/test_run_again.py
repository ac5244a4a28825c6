"""A sheet that is run again is as if all of it was judged, whatever an account has become meanwhile."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from ledgers import set_clock
from trial import Onlooker, Trial, ask_to_stop, options, sheet_rows, trial
from virtual_time import run_virtually
from virtual_trial import in_virtual_time

from batch_share import BatchShare
from batch_share.common import MAX_DURATION_MINUTES, utc_now
from batch_share.ledger.records import Occasion
from batch_share.ledger.states import State
from batch_share.planning import intake

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trial import Step

    from batch_share.sandbox.wire import Reply, SandboxCall
    from batch_share.sandbox.world import User

RENAMED = "renamed@sales.example.com"


def write(it: Trial, rows: Sequence[Sequence[str]]) -> None:
    with (it.folder / "leads.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([["Lead Id", "User Email", "Duration", "Activity Event"], *rows])


def rename(user: User) -> None:
    """The user's address is another one from now on."""
    object.__setattr__(user, "email", RENAMED)


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("is_allowed", [True, False])
def test_who_is_found_later_may_be_the_one_of_an_unchanged_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: bool, is_allowed: bool
) -> None:
    it = in_virtual_time(tmp_path, monkeypatch, options())
    lead, user = it.sandbox.world.leads[0], it.sandbox.world.users[1]
    write(it, [[lead.id, user.email, "7d", "201"], [lead.id, RENAMED, "7d", "201"]])
    if not quick:
        monkeypatch.setattr(intake, "unchanged_rows", never)

    async def main() -> None:
        await it.run(allow_duplicates=is_allowed)
        assert it.rows("state") == [("shared",), ("invalid",)]
        rename(user)
        await it.run(allow_duplicates=is_allowed)

    run_virtually(main())
    assert it.rows("state", "cause") == [
        ("shared", None),
        ("shared", None) if is_allowed else ("skipped", "repeat"),
    ]


@pytest.mark.parametrize("quick", [True, False])
def test_who_is_found_later_is_shared_with_though_activity_types_are_called_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: bool
) -> None:
    it = in_virtual_time(tmp_path, monkeypatch, options())
    leads, users = it.sandbox.world.leads, it.sandbox.world.users
    write(it, [[leads[0].id, users[2].email, "7d", "202"], [leads[1].id, RENAMED, "7d", "201"]])
    if not quick:
        monkeypatch.setattr(intake, "unchanged_rows", never)

    async def main() -> None:
        await it.run()
        assert it.rows("state") == [("shared",), ("invalid",)]
        rename(users[1])
        object.__setattr__(it.sandbox.account.options, "activity_types", (201,))
        object.__setattr__(it.sandbox.account.options, "deactivated_types", ())
        await it.run()

    run_virtually(main())
    assert [state for (state,) in it.rows("state") if state == "shared"] == ["shared", "shared"]


def test_who_is_found_in_a_run_that_is_stopped_then_is_shared_with_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onlooker, stops = Onlooker(), list[bool]()

    async def stop(step: Step, call: SandboxCall) -> Reply:
        if call.endpoint.startswith("UserManagement") and stops:
            stops.clear()
            ask_to_stop(onlooker)
        return await step(call)

    it = in_virtual_time(tmp_path, monkeypatch, options(), stop)
    leads, users = it.sandbox.world.leads, it.sandbox.world.users
    write(it, [[leads[0].id, users[2].email, "7d", "201"], [leads[1].id, RENAMED, "7d", "201"]])

    async def main() -> None:
        await it.run(keep_answers=0)
        rename(users[1])
        stops.append(True)
        await it.run(onlooker, keep_answers=0)
        assert not stops
        assert it.rows("state") == [("shared",), ("invalid",)]
        await it.run(keep_answers=0)

    run_virtually(main())
    assert it.rows("state") == [("shared",), ("shared",)]


def test_nobody_is_asked_for_twice_where_a_row_repeats_an_unchanged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = in_virtual_time(tmp_path, monkeypatch, options())
    leads, user = it.sandbox.world.leads, it.sandbox.world.users[1]
    rows = [[lead.id, user.email, "7d", "201"] for lead in leads[:3]]

    async def main() -> None:
        write(it, rows)
        await it.run()
        before = len(it.sandbox.journal.since(0))
        write(it, [*rows, rows[1], [leads[3].id, RENAMED, "7d", "201"]])
        onlooker = Onlooker()
        await it.run(onlooker)
        asked = Counter(str(call["endpoint"]) for call in it.sandbox.journal.since(0)[before:])
        assert (
            asked.pop("LeadManagement.svc/Leads.Get", 0) + asked.pop("LeadManagement.svc/Leads/Retrieve/ByIds", 0)
            == 1
        )
        assert max(asked.values()) == 1, asked
        assert (changes := onlooker.previews[0].changes) is not None
        assert (changes.looked_up, changes.kept, changes.new) == (2, 3, 2)

    run_virtually(main())
    assert [state for (state,) in it.rows("state")] == ["shared"] * 3 + ["skipped", "invalid"]


async def never(*_: Any) -> None:
    """All is judged."""


def write_ends(it: Trial, *ends: str) -> None:
    lines = "".join(f"{lead},{user},{end}\n" for (lead, _, user, *_), end in zip(sheet_rows(9), ends, strict=False))
    (it.folder / "leads.csv").write_text(f"Lead Id,User Id,Until\n{lines}", encoding="utf-8")


@pytest.mark.parametrize(
    ("minutes", "ahead", "later"),
    [(MAX_DURATION_MINUTES + 1440, 0, 3), (1440, 3, 0)],
    ids=["too far away", "over by a clock that was ahead"],
)
async def test_rows_that_are_invalid_for_a_date_are_judged_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: int, ahead: int, later: int
) -> None:
    """A plan says what a run does then; and one with `--if-changed` does not say that nothing is to be done."""
    end = utc_now() + timedelta(minutes=minutes)
    onlooker, sheet = Onlooker(), tmp_path / "leads.csv"
    async with trial(tmp_path) as it:
        write_ends(it, *[f"{end:%Y-%m-%d %H:%M}Z"] * 3)
        set_clock(monkeypatch, timedelta(days=ahead))
        assert (await it.run(event="201")).summary.states == {State.INVALID: 3}
        bs = BatchShare(it.settings(event="201"))
        assert await bs.unchanged(sheet) is not None
        set_clock(monkeypatch, timedelta(days=later))
        assert (await bs.plan(sheet)).to_send == 3
        assert await bs.unchanged(sheet) is None
        assert (await it.run(onlooker, event="201")).summary.states == {State.SHARED: 3}
    assert [preview.changes and preview.changes.occasion for preview in onlooker.previews] == [Occasion.TIME]


async def test_what_is_still_too_far_away_is_not_taken_in_again(tmp_path: Path) -> None:
    onlooker = Onlooker()
    async with trial(tmp_path) as it:
        write_ends(it, "2099-12-31", f"{utc_now() + timedelta(days=9):%Y-%m-%d}")
        for _ in range(2):
            ending = await it.run(onlooker, event="201")
            assert ending.summary.states == {State.INVALID: 1, State.SHARED: 1}
        assert await BatchShare(it.settings(event="201")).unchanged(tmp_path / "leads.csv") is not None
    assert [preview.changes is None for preview in onlooker.previews] == [False, True]


async def test_who_is_found_later_has_an_end_in_the_accounts_time_zone_too(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        end = f"{utc_now() + timedelta(days=9):%Y-%m-%d}"
        write_ends(it, *[f"{end} 18:00"] * 3)
        leads = it.sandbox.world._leads
        late = leads.pop(sheet_rows(3)[1][0])
        await it.run(event="201")
        leads[late.id] = late
        await it.run(event="201")
        assert it.rows("state", "until") == [("shared", f"{end} 12:30:00.000000")] * 3
