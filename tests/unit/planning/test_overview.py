"""The overview of a plan: every row counted once, the costs, and what deserves a second look."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans import make_plan

from batch_share.cli.plan import show_plan, spell_parts
from batch_share.common import Rate
from batch_share.leadsquared.account import Account
from batch_share.ledger.records import Lookup
from batch_share.ledger.states import INTENTS, State
from batch_share.planning.directory import Directory
from batch_share.planning.overview import KnownRows, Overview, Unasked, overview
from batch_share.planning.plan import SheetOptions
from batch_share.settings import Settings
from batch_share.sheet.rows import Selection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    See = Callable[..., Overview]

HEADER = ["Lead Number", "User Email", "Access", "Duration", "City"]


def row(lead: int, /, user: str = "a@x.example", access: str = "read", lasting: str = "7d") -> list[str]:
    return [str(lead), user, access, lasting, "Pune"]


@pytest.fixture
def see(tmp_path: Path) -> See:
    """Look over a sheet of these rows, without asking anybody if no directory is given."""

    def seen(
        *rows: list[str],
        header: list[str] = HEADER,
        selection: Selection | None = None,
        directory: Directory | None = None,
        **options: Any,
    ) -> Overview:
        with (tmp_path / "leads.csv").open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([header, *rows])
        settings = Settings.model_construct(**{"event": "201"} | options)
        plan = make_plan(tmp_path / "leads.csv", SheetOptions(selection=selection or Selection()), settings)
        return overview(plan, settings, directory or Unasked())

    return seen


# ---------------------------------------------------------------------------------------------------- counts


def test_every_row_is_counted_once(see: See) -> None:
    rows = row(1), row(1), row(2, user="nobody"), row(3), row(4)
    seen = see(*rows, selection=Selection(ranges=((2, 5),)))
    assert seen.states == {State.PENDING: 2, State.SKIPPED: 1, State.INVALID: 1}
    assert (seen.rows, seen.left_out) == (5, 1)
    assert len(seen.invalid) == 1
    assert seen.invalid[0].startswith("Row 4, User Email 'nobody': ")


@given(st.randoms(use_true_random=False), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_parts_of_a_plan_add_up_to_its_rows(see: See, chance: Random, is_known: bool) -> None:
    """Whatever the rows ask for, whatever is wrong with them and whatever their ledger knows of them."""
    kinds = ["share", "revoke", "reassign", "Remove", "", ""]
    users = ["a@x.example", "b@x.example", "nobody", ""]
    rows = [
        [*row(chance.randint(1, 4), user=chance.choice(users)), chance.choice(kinds)]
        if chance.random() < 0.8
        else ["", "", "", "", "Region North", ""]
        for _ in range(chance.randint(1, 12))
    ]
    rows.append([*row(1), ""])
    selection = Selection(limit=chance.randint(1, 12)) if chance.random() < 0.5 else None
    seen = see(*rows, header=[*HEADER, "Action"], selection=selection)
    if is_known:
        before = KnownRows()
        for planned in seen.planned():
            if chance.random() < 0.5:
                state = chance.choice([each for each in State if each not in INTENTS])
                before._known.put(planned.key, 2 * [*State].index(state))
        seen = overview(seen.plan, seen.settings, Unasked(), before=before)
    assert sum(seen.parts.values()) == seen.rows == sum(bool(each[0]) for each in rows)
    assert all(count >= 0 for count in seen.parts.values())
    numbers = [part.split()[0] for part in spell_parts(seen)]
    assert sum(int(number) for number in numbers if number.isdigit()) == seen.rows


def test_what_will_be_sent_is_counted_by_user_access_and_length(see: See) -> None:
    seen = see(row(1), row(2, access="write"), row(3, user="b@x.example", lasting="90"))
    assert seen.users == {"a@x.example": 2, "b@x.example": 1}
    assert seen.access == {"read": 2, "write": 1}
    assert seen.lasting == {"7 days": 2, "90 minutes": 1}


def test_users_are_called_by_name_once_they_are_looked_up(see: See) -> None:
    directory = Directory()
    lead = {"id": "lead", "number": "1", "email": "", "phone": ""}
    user = {"id": "user", "email": "a@x.example", "name": "Asha Rao", "active": True}
    directory.learn([Lookup("Lead Number", "1", lead), Lookup("User Email", "a@x.example", user)])
    seen = see(row(1), directory=directory)
    assert seen.users == {"Asha Rao <a@x.example>": 1}


def test_an_end_is_shown_as_of_its_time_zone_and_as_what_lasts(see: See) -> None:
    header = [*HEADER[:3], "Until", "City"]
    seen = see(row(1, lasting="2095-06-30 18:00"), header=header, timezone="Asia/Kolkata")
    assert seen.lasting == {"until 2095-06-30 18:00 Asia/Kolkata": 1}
    assert see(row(1, lasting="2095-06-30 18:00"), header=header).lasting == {"until 2095-06-30 18:00 UTC": 1}


def test_columns_that_are_not_read_are_named(see: See) -> None:
    assert see(row(1)).ignored == ["City"]


def test_a_duplicate_of_a_row_that_is_left_out_is_not_sent_and_not_promised(see: See) -> None:
    """The run skips it too: were it sent, a later run of the whole sheet would send the first as well."""
    seen = see(row(1), row(1), selection=Selection(ranges=((3, 3),)))
    assert (seen.states, seen.left_out) == ({State.SKIPPED: 1}, 1)


# ----------------------------------------------------------------------------------------------------- costs


@pytest.mark.parametrize(("follow_up", "calls"), [(True, 92), (False, 62)])
def test_a_row_costs_two_calls_and_one_for_its_follow_up(see: See, follow_up: bool, calls: int) -> None:
    """And its activity type two: whose are the keys, and whose is the first activity?"""
    seen = see(*map(row, range(1, 31)), row(1), follow_up=follow_up, rate=Rate(25, 5.0), daily_limit=1000)
    assert seen.cost.calls == calls
    assert seen.cost.seconds == (calls - 25) / 5
    assert seen.share_of_day == calls / 1000


def test_a_plan_tells_what_the_other_way_would_cost(see: See) -> None:
    rows = [row(number) for number in range(1, 101)]
    slow, quick = see(*rows), see(*rows, bulk=True, bulk_rate=Rate(10, 5.0), share_batch=25)
    assert (slow.cost.bulk_rate, quick.cost.bulk_rate) == (None, Rate(10, 5.0))
    assert quick.other_cost == slow.cost
    assert slow.other_cost.seconds < slow.cost.seconds
    assert (slow.as_json()["seconds"], slow.as_json()["bulk_rate"]) == (round(slow.cost.seconds), None)
    assert quick.as_json()["seconds_in_bulk"] == quick.as_json()["seconds"] == round(quick.cost.seconds)


def test_each_activity_type_has_its_owner_checked_and_nothing_to_send_costs_nothing(see: See) -> None:
    header = [*HEADER[:4], "Activity Event"]
    rows = [[*row(lead)[:4], str(201 + lead % 3)] for lead in range(1, 7)]
    assert see(*rows, header=header).cost.calls == 6 * 3 + 1 + 3
    assert see(row(1, user="nobody")).cost.calls == 0


@pytest.mark.parametrize(("day", "made"), [("today", 40), ("2026-01-01", 0)])
def test_the_calls_of_today_are_reported(see: See, day: str, made: int) -> None:
    today = datetime.now(UTC).date().isoformat() if day == "today" else day
    seen = see(*map(row, range(1, 21)), daily_limit=100)
    seen.account = Account(closed=True, day=today, calls=40)
    assert (seen.calls_today, seen.as_json()["calls_today"], seen.days) == (made, made, 1 if made else 0)


def test_a_few_rows_take_no_time_and_no_limit_is_no_share_of_one(see: See) -> None:
    seen = see(row(1))
    assert (seen.cost.seconds, seen.share_of_day) == (0, None)


# ---------------------------------------------------------------------------------------------------- guards


def test_a_sheet_that_is_too_large_would_stop(see: See) -> None:
    rows = row(1), row(2), row(3, user="b@x.example"), row(4, user="nobody")
    assert see(*rows, max_rows=3, max_per_user=2).would_stop == []
    seen = see(*rows, max_rows=2, max_per_user=1)
    assert seen.would_stop == [
        "3 rows would be sent and --max-rows allows 2",
        "these users would get more leads than the 1 that --max-per-user allows: a@x.example (2)",
    ]
    assert seen.as_json()["would_stop"] == seen.would_stop
    assert seen.as_json()["guards"].startswith("at most 2 rows, at most 1 leads for each user, stops after 10")


def test_why_it_would_stop_is_reported_without_options_too(see: See) -> None:
    seen = see(row(1), row(2), row(3), max_rows=2, max_per_user=1)
    assert [each.text for each in seen.obstacles] == [
        "3 rows would be sent and 2 are allowed, so nothing was sent.",
        "These users would get more leads than the 1 that are allowed for each: a@x.example (3). Nothing was sent.",
    ]
    assert all(each.hint and "--" not in each.text + each.hint for each in seen.obstacles)
    assert len(seen.would_stop) == 2
    before = KnownRows(refusal="the ledger a.db belongs to another host")
    refused = overview(seen.plan, Settings.model_construct(event="201"), Unasked(), before=before)
    (obstacle,) = refused.obstacles
    assert (obstacle.row, obstacle.text) == (None, "The ledger a.db belongs to another host.")


def test_rows_that_wait_for_their_time_are_not_too_many_now(see: See) -> None:
    header = [*HEADER, "Start"]
    seen = see([*row(1), "2095-06-30"], [*row(2), ""], header=header, timezone="UTC", max_rows=1)
    assert (seen.users.total(), seen.due, seen.would_stop) == (2, {"a@x.example": 1}, [])


# -------------------------------------------------------------------------------------------------- oddities


def test_nothing_odd_is_nothing_said(see: See) -> None:
    assert see(row(1), row(2, user="b@x.example")).oddities() == []


def test_the_same_lead_and_user_with_different_access_is_odd(see: See) -> None:
    (odd,) = see(row(1, access="write"), row(2), row(1)).oddities()
    assert odd == "the same lead and user twice, with different access: row 4 says read and row 2 says write"


@pytest.mark.parametrize(("mine", "others", "is_odd"), [(3, 2, True), (3, 3, False), (4, 0, False), (5, 0, True)])
def test_a_user_who_gets_more_than_half_of_five_leads_or_more_is_odd(
    see: See, mine: int, others: int, is_odd: bool
) -> None:
    rows = [row(lead) for lead in range(1, 1 + mine)]
    rows += [row(100 + lead, user=f"u{lead}@x.example") for lead in range(others)]
    reported = [f"a@x.example gets {mine} of {mine + others} leads"]
    assert see(*rows).oddities() == (reported if is_odd else [])


def test_shares_of_more_than_ninety_days_are_odd_and_the_first_five_are_shown(see: See) -> None:
    users = [f"u{lead}@x.example" for lead in range(8)]
    rows = [row(1, users[0], lasting="90d"), *(row(lead, users[lead], lasting="91d") for lead in range(2, 8))]
    assert see(*rows[:3]).oddities() == ["2 shares last longer than 90 days: rows 3 and 4"]
    assert see(*rows).oddities() == ["6 shares last longer than 90 days: rows 3, 4, 5 and 3 more"]


@pytest.mark.parametrize(("days", "is_odd"), [(89, False), (92, True)])
def test_an_end_in_more_than_ninety_days_is_odd(see: See, days: int, is_odd: bool) -> None:
    end = (datetime.now(UTC) + timedelta(days)).isoformat()
    seen = see(row(1, lasting=end), header=[*HEADER[:3], "Until", "City"])
    assert seen.oddities() == (["1 share lasts longer than 90 days: row 2"] if is_odd else [])


def test_rows_that_repeat_another_but_for_its_end_are_odd(see: See) -> None:
    rows = [row(1, lasting="1d"), row(1, lasting="2d"), row(2, lasting="2d"), row(2, lasting="48h")]
    assert see(*rows).oddities() == ["row 3 repeats row 2 with another length"]
    assert see(*rows, row(2), row(1)).oddities() == ["rows 3, 6 and 7 repeat earlier rows with another length"]
    assert see(*rows[2:]).oddities() == see(*rows, allow_duplicates=True).oddities() == []
    header, ends = [*HEADER[:3], "Until", "City"], ["2095-12-03", "2095-12-20", "3 Dec 2095"]
    seen = see(*(row(1, lasting=end) for end in ends), header=header)
    assert seen.oddities()[0] == "row 3 repeats row 2 with another end"


def test_shares_of_less_than_an_hour_are_odd(see: See) -> None:
    """Whoever wrote 3 for days is read as of minutes."""
    end = (datetime.now(UTC) + timedelta(minutes=30)).isoformat()
    rows = [row(1, lasting="3"), row(2, lasting="5 min"), row(3, lasting="60"), row(4, lasting="1d")]
    assert see(*rows).oddities() == ["2 shares last less than an hour: rows 2 and 3"]
    seen = see(row(1, lasting=end), header=[*HEADER[:3], "Until", "City"])
    assert seen.oddities() == ["1 share lasts less than an hour: row 2"]


def test_a_name_beside_the_user_that_is_somebody_elses_is_odd(see: See) -> None:
    """Whatever else is written there: initials, capitals, one of two names, nothing."""
    directory = Directory()
    lead = {"id": "lead", "number": "1", "email": "", "phone": ""}
    user = {"id": "user", "email": "a@x.example", "name": "Asha Rao", "active": True}
    directory.learn([*(Lookup("Lead Number", str(at), lead) for at in range(9))])
    directory.learn([Lookup("User Email", "a@x.example", user)])
    alike = ["asha", "A. RAO", "Rao, Asha", "-", "", " a@x.example "]
    header, rows = ["Sales User", *HEADER], [[name, *row(at)] for at, name in enumerate(alike)]
    assert see(*rows, header=header, directory=directory, allow_duplicates=True).checks == {}
    rows[0][0], reported = "Isha Das", "in 1 row Sales User names somebody else than User Email: row 2 'Isha Das', "
    seen = see(*rows, header=header, directory=directory, allow_duplicates=True)
    assert seen.oddities()[0] == f"{reported}not Asha Rao"
    rows[2][0] = "A. Das"
    seen = see(*rows, header=header, directory=directory, allow_duplicates=True)
    assert seen.oddities()[0] == f"{reported.replace('1 row', '2 rows')}not Asha Rao, and 1 more"
    assert seen.to_send == 6


# ------------------------------------------------------------------------------------------- for programs


def test_as_json_the_numbers_are_those_on_the_screen(see: See) -> None:
    seen = see(row(1, lasting="91d"), row(2, user="nobody"), row(3), selection=Selection(limit=2), daily_limit=10)
    reported = seen.as_json()
    assert {name: reported[name] for name in ("rows", "to_send", "invalid", "skipped", "left_out")} == {
        "rows": 3,
        "to_send": 1,
        "invalid": 1,
        "skipped": 0,
        "left_out": 1,
    }
    assert reported["columns"] == {name: name for name in HEADER[:4]}
    assert reported["ignored_columns"] == ["City"]
    assert (reported["calls"], reported["seconds"], reported["share_of_daily_limit"]) == (5, 0, 0.5)
    assert reported["leads_per_user"] == {"a@x.example": 1}
    assert (reported["access"], reported["lasting"]) == ({"read": 1}, {"91 days": 1})
    assert reported["oddities"] == ["1 share lasts longer than 90 days: row 2"]
    assert reported["problems"] == seen.invalid
    (cell,) = reported["problem_cells"]
    assert {name: cell[name] for name in ("row", "column", "value")} == {
        "row": 3,
        "column": "User Email",
        "value": "nobody",
    }


def test_each_problem_and_each_repeat_names_its_cell(see: See) -> None:
    seen = see(row(1), row(2, user="nobody", access="all"), row(1), row(3, lasting="long"))
    assert [(each.row, each.column, each.value) for each in seen.problems] == [
        (3, "User Email", "nobody"),
        (3, "Access", "all"),
        (5, "Duration", "long"),
    ]
    assert seen.problems[0].text.startswith("not an e-mail address")
    assert (len(seen.invalid), seen.invalid[0]) == (2, "; ".join(map(str, seen.problems[:2])))
    assert [(each.row, each.column, each.text) for each in seen.repeated] == [
        (4, "", "the same lead, user, access and activity as row 2")
    ]


def test_what_is_wrong_with_a_row_that_was_sent_before_is_no_problem_now(see: See) -> None:
    """Its key is known: what became of it counts."""
    rows, header = ([*row(1), "reassign"], [*row(1, user="b@x.example"), "share"]), [*HEADER, "Action"]
    found = see(*rows, header=header)
    assert [each.row for each in found.problems] == [2, 3]
    before = KnownRows()
    for planned in found.planned():
        before._known.put(planned.key, 2 * [*State].index(State.SHARED))
    seen = overview(found.plan, found.settings, Unasked(), before=before)
    assert (seen.states, seen.problems) == ({State.SHARED: 2}, [])


def test_the_two_with_the_most_leads_come_first(see: See, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(lead, user=f"u{lead % 12}@x.example") for lead in range(1, 37)]
    show_plan(see(*rows, row(99, user="u5@x.example")), online=False, json=False)
    first = "To u5@x.example (4), u1@x.example (3) and 10 others. Access: read (37). "
    assert f"\n{first}Lasting: 7 days (37). Activity 201.\n" in capsys.readouterr().out


def test_what_is_revoked_is_counted_apart(see: See) -> None:
    rows = [*row(1), "revoke"], [*row(2), "reassign"], [*row(3), ""], [*row(1), "revoke"]
    seen = see(*rows, header=[*HEADER, "Action"])
    assert (seen.to_send, seen.claiming, seen.revoking, seen.earlier) == (2, 2, [2], 0)
    assert seen.users.total() == 2
    assert seen.states == {State.PENDING: 3, State.SKIPPED: 1}
    assert seen.unasked == 2, "users by e-mail address: which shares they have, nobody knows yet"
    reported = seen.as_json()
    assert (reported["to_send"], reported["taking_back"], reported["earlier_shares"]) == (2, 2, None)
    assert reported["repeats"] == ["row 5: the same lead, user, access and activity as row 2"]
    assert seen.cost.calls == see(row(2), row(3)).cost.calls


def test_a_lead_that_is_reassigned_and_shared_with_somebody_else_is_refused(see: See) -> None:
    rows = [*row(1), "reassign"], [*row(1, user="b@x.example"), "share"], [*row(2, user="b@x.example"), ""]
    seen = see(*rows, header=[*HEADER, "Action"])
    assert (seen.to_send, seen.oddities()) == (1, [])
    assert [problem.split(": ")[1].split(" for ")[0] for problem in seen.invalid] == [
        "row 3 says share",
        "row 2 says reassign",
    ]
