"""A plan counted by whole columns is the same, to the last word, as one that is counted row by row."""

from __future__ import annotations

import csv
import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans import check_columns, make_plan

from batch_share.errors import SheetError
from batch_share.ledger.records import Lookup
from batch_share.planning.directory import Hashes
from batch_share.planning.overview import Overview, Unasked, overview
from batch_share.planning.plan import Plan, SheetOptions
from batch_share.settings import Settings
from batch_share.sheet import reader, table
from batch_share.sheet.rows import Asked, Selection

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

GUIDS: Final = [f"0f8fad5b-d9cb-469f-a165-7086772895{number:02x}" for number in range(6)]
NOW: Final = dt.datetime.now(dt.UTC)
DAYS: Final = [f"{NOW + dt.timedelta(days):%Y-%m-%d}" for days in (3, 30, 200, -9, 5000)]
MAILS: Final = ["a@x.example", "B@x.example", "b@x.example", "c@x.example"]
USERS: Final = [*MAILS, *MAILS, *GUIDS[:2], GUIDS[0].upper(), "Asha Rao", "", " a@x.example "]
POOLS: Final[dict[str, list[str]]] = {
    "Lead Id": [*GUIDS, GUIDS[1].upper(), f"{{{GUIDS[2]}}}", GUIDS[3].replace("-", ""), "0" * 32, "12", "", "#N/A"],
    "Lead Number": ["1", "2", "3", "00004", " 5 ", "6\u00a0", "1.23457E+15", "x", "", "'7", "８"],
    "Lead Email": [*MAILS, "mailto:a@x.example", "a@x", "ａ@x.example", "weiß@x.example", "", "a\u200b@x.example"],
    "Lead Phone": ["+91-9812345678", "9812345678", "12", "", "9,8E+09"],
    "User Id": [*GUIDS[:3], "0" * 8, "", *GUIDS[:3]],
    "User Email": [*MAILS, "nobody", "", "#REF!", *MAILS],
    "Sales User": USERS,
    "New Owner Name": [
        "Asha Rao",
        "",
        "B. Das",
        "b@x.example",
        " c@x.example ",
        GUIDS[1],
        GUIDS[0].upper(),
        "#N/A",
    ],
    "Access": ["read", "write", "READ", "1", "2", "edit", "reed", "", "#VALUE!"],
    "Duration": ["7d", "5", "2 weeks", "120d", "0", "soon", "", "12h"],
    "Days": ["7", "0.5", "100", "x", "", ""],
    "Until": [*DAYS, "", "not a day", "Err:502"],
    "Start": ["", "", DAYS[0], *DAYS],
    "Note": ["Call him", "", "two\nlines", "<b>", "x" * 1800, "", "[bs-abcdefghijklmnop] x", "'=1+1", "#NAME?"],
    "Activity Event": ["201", "202", "Phone Call", "phone  call", "0", "", "???"],
    "mx_Custom_1": ["", "a", "b", "x" * 201, "<!--", "#N/A"],
    "City": ["Pune", "", "O'Neil", "'quoted", "#N/A", "a,b", 'say "hi"'],
}
NEEDED: Final = [name for name in POOLS if name.startswith(("Lead", "User", "Sales"))]


def counted(seen: Overview) -> dict[str, Any]:
    """All that there is to see of it; where it matters, in order."""
    seconds = [(alike.rows, alike.first, alike.row.why, alike.is_same) for alike in seen.reasons.most()]
    orders = [[*each] for each in (seen.leads.items(), seen.due.items(), seen.access, seen.lasting.items())]
    return seen.as_json() | {
        "reasons": seconds,
        "orders": orders,
        "events": [seen.plan.sheet.path.name, *map(seen.directory.type_name, seen.events), *seen.events],
        "look-ups": (seen.to_look_up, seen.unknown_users),
        "waiting": seen.waiting,
        "long": sorted(seen.long),
        "short": sorted(seen.short),
        "states": seen.states,
    }


def sheet_of(chance: Random, folder: Path) -> tuple[Path, dict[str, Any], Selection]:
    """A sheet of some of these columns, most of whose cells are right, with the settings that go with it."""
    header = [name for name in POOLS if chance.random() < 0.4]
    leads = [name for name in NEEDED if name.startswith("Lead")]
    header += [chance.choice(leads)] if not {*leads} & {*header} else []
    header += [chance.choice(["User Email", "Sales User"])] if not {*header} & {*NEEDED[len(leads) :]} else []
    lengths = [name for name in header if name in {"Duration", "Days", "Until"}]
    header = [name for name in header if name not in lengths[1:] or chance.random() < 0.2]  # two of them are wrong
    chance.shuffle(header)
    rows: list[list[str]] = []
    tame = chance.choice([0.5, 0.9, 0.98, 1])
    for _ in range(chance.randint(1, 14)):
        draws = [POOLS[name][: 3 if chance.random() < tame else None] for name in header]
        cells = [chance.choice(draw) for draw in draws]
        odd = chance.random()
        rows.append(
            cells if odd < 0.9 else cells[:-1] if odd < 0.94 else [*cells, "x"] if odd < 0.97 else [""] * len(cells)
        )
        rows += [chance.choice(rows)] if chance.random() < 0.2 else []
    path = folder / "leads.csv"
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([header, *rows])
    given: dict[str, Any] = {"event": "201", "allow_duplicates": chance.random() < 0.2}
    given |= chance.choice([{"duration": "7d"}, {"duration": "7d"}, {"until": DAYS[2]}])
    selection = Selection(limit=chance.randint(1, 9)) if chance.random() < 0.2 else Selection()
    return path, given, selection


@given(chance=st.randoms(use_true_random=False), size=st.integers(1, 6), knows=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_ways_say_the_same(tmp_path: Path, chance: Random, size: int, knows: bool) -> None:
    path, given, selection = sheet_of(chance, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        for module in (table, reader):
            patch.setattr(module, "IN_BLOCK", size)
        try:
            options = Settings.model_construct(**given)
            plan = make_plan(path, SheetOptions(selection=selection), options, now=NOW)
            check_columns(plan.sheet, plan.rules)
        except SheetError:
            return
        found = []
        for way, judged in ((Overview.foreseen, Plan.judged), (Overview.planned, Plan.checked)):
            patch.setattr(Overview, "foreseen", way)
            patch.setattr(Plan, "judged", judged)
            directory = Unasked()
            if knows:  # a user, but no lead
                asha = {"id": GUIDS[5], "email": MAILS[0], "name": "Asha Rao", "active": True}
                directory.learn(
                    [Lookup("User Email", MAILS[0], asha), Lookup("Activity Event", "77", {"name": "Phone Call"})]
                )
            seen = overview(plan, options, directory)
            found.append(counted(seen) | {"outlook": first_look(plan)})
    assert found[0] == found[1]


def first_look(plan: Plan) -> list[Any]:
    look = plan.first_look(Unasked())
    mistakes = [(alike.rows, alike.first, alike.row.why) for alike in look.mistakes.most()]
    return [look.rows, look.wrong, look.may_do, [*look.unknown], mistakes]


def test_the_first_look_by_columns_is_that_by_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "leads.csv"
    path.write_text("Lead Number,User Email\n1,a@x.example\n2,nobody\n3,b@x.example\n1,b@x.example\n")
    plan = make_plan(path, SheetOptions(), Settings.model_construct(event="201", duration="7d"))
    by_columns = first_look(plan)
    monkeypatch.setattr(Plan, "judged", Plan.checked)
    assert first_look(plan) == by_columns
    assert by_columns[:3] == [4, 1, True]


def test_plain_rows_are_judged_together(tmp_path: Path) -> None:
    """Else the other tests would show nothing."""
    path = tmp_path / "leads.csv"
    path.write_text(
        "Lead Number,User Email\n" + "".join(f"{n},a@x.example\n" for n in range(9)) + "x,a@x.example\n"
    )
    plan = make_plan(path, SheetOptions(), Settings.model_construct(event="201", duration="7d"))
    together = [len(each.numbers) for each in plan.foreseen(Unasked(), Hashes()) if isinstance(each, Asked)]
    assert together == [9]


def test_a_block_of_nothing_but_rows_that_are_too_short_is_left_to_the_rules_for_rows(tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    path.write_text("Lead Number,User Email,City\n1\n")
    options = Settings.model_construct(event="201", duration="7d")
    seen = overview(make_plan(path, SheetOptions(), options), options, Unasked())
    assert seen.invalid == ["Row 2: only 1 of 3 cells: something may be under a wrong header"]


@pytest.mark.parametrize("twice", [False, True])
def test_a_lead_that_its_user_gets_with_another_access_is_no_repeat_and_odd(tmp_path: Path, twice: bool) -> None:
    rows = ["1,a@x.example,read", "1,a@x.example,write", "2,a@x.example,read", *["1,a@x.example,write"] * 2]
    path = tmp_path / "leads.csv"
    path.write_text("\n".join(["Lead Number,User Email,Access", *rows, "1,a@x.example,read\n"]))
    options = Settings.model_construct(event="201", duration="7d", allow_duplicates=twice)
    plan = make_plan(path, SheetOptions(), options)
    by_columns = counted(overview(plan, options, Unasked()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Overview, "foreseen", Overview.planned)
        assert counted(overview(plan, options, Unasked())) == by_columns
    assert by_columns["to_send"] == (6 if twice else 3)
    assert "row 2 says read and row 3 says write" in by_columns["oddities"][0]
