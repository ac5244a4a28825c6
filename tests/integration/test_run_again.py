"""A sheet that is run again is as if all of it was judged, whatever an account has become meanwhile."""

from __future__ import annotations

import csv
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from trial import Onlooker, Trial, ask_to_stop, options
from virtual_time import run_virtually
from virtual_trial import in_virtual_time

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
