"""What a sheet is shown as before anything else: each column, what it is taken to hold, and what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from openpyxl import Workbook

from batch_share.errors import SettingsError, SheetError
from batch_share.planning.overview import FIRST, Look, Origin, look_at
from batch_share.planning.plan import SheetOptions
from batch_share.settings import Settings
from batch_share.sheet.mapping import SheetMapping
from batch_share.sheet.reader import ReadOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    See = Callable[..., Look]

GUID = "00000000-0000-4000-8000-{:012d}"


@pytest.fixture
def see(tmp_path: Path) -> See:
    """Look at a CSV file of these lines."""

    def seen(*lines: str, read: ReadOptions | None = None, **options: Any) -> Look:
        (tmp_path / "leads.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        settings = Settings.model_construct(**{"event": "201", "duration": "7d"} | options)
        return look_at(tmp_path / "leads.csv", SheetOptions(read or ReadOptions()), settings)

    return seen


def test_each_column_says_what_it_is_read_as_and_by_what(see: See) -> None:
    lines = [f"{number},a{number}@x.example,n{number},Pune" for number in range(1, 9)]
    look = see(
        "Lead Number,Mail of rep,Remarks,City", *lines, read=ReadOptions(mapping=SheetMapping({"remarks": "Note"}))
    )
    assert [(each.header, each.field, each.origin) for each in look.columns] == [
        ("Lead Number", "Lead Number", Origin.HEADER),
        ("Mail of rep", None, None),
        ("Remarks", "Note", Origin.MAPPING),
        ("City", None, None),
    ]
    assert look.columns[0].values == ["1", "2", "3", "4", "5"]
    assert (len(look.columns[2].values), look.rows) == (FIRST, 8)


def test_a_sheet_that_names_no_user_is_shown_with_what_it_lacks(see: See) -> None:
    look = see("Lead Number,City,Note", "1,Pune,x")
    assert [(each.header, each.field) for each in look.columns] == [
        ("Lead Number", "Lead Number"),
        ("City", None),
        ("Note", "Note"),
    ]
    (problem,) = look.problems
    assert (problem.row, problem.column) == (None, "")
    assert problem.text.startswith("The sheet has no column for the user")
    assert "--" not in problem.text + problem.hint
    assert (look.rows, look.columns[0].values) == (1, ["1"])


def test_a_column_that_is_read_by_what_it_holds_says_so_and_one_in_doubt_is_asked_about(see: See) -> None:
    look = see("Lead Number,Owner Id,Note", "1,a@x.example,x", "2,b@x.example,y")
    owner = look.columns[1]
    assert (owner.field, owner.origin, owner.is_doubtful) == ("User Email", Origin.VALUES, True)
    assert look.problems[0].text == "'Owner Id' ('a@x.example', 'b@x.example') usually says who has the lead now."
    assert all("--map" not in note for note in look.notes)


def test_every_problem_of_every_row_is_there(see: See) -> None:
    look = see("Lead Number,User Email,Access", "1,a@x.example,all", "x,nobody,read", "3,c@x.example,read")
    assert [(each.row, each.column, each.value) for each in look.problems] == [
        (2, "Access", "all"),
        (3, "Lead Number", "x"),
        (3, "User Email", "nobody"),
    ]


def test_a_sheet_without_a_length_is_shown_with_what_to_add(see: See) -> None:
    (problem,) = see("Lead Number,User Email", "1,a@x.example", duration="").problems
    assert problem.text == "The sheet has no column for Duration, Days or Until."
    assert problem.hint == "Add the column, or say for all rows how long shares last."


def test_all_that_no_column_says_is_told_at_once(see: See) -> None:
    (problem,) = see("Lead Number,User Email", "1,a@x.example", duration="", event="").problems
    assert problem.text == (
        "The sheet has no column for Duration, Days or Until. The sheet has no column for Activity Event."
    )
    (problem,) = see("Number,Till", "1,2035-12-31", duration="", event="").problems
    assert "no column for the lead and the user" in problem.text
    assert problem.text.endswith("Its headers are: 'Number', 'Till'. The sheet has no column for Activity Event.")
    (problem,) = see("Number,Till", "1,2035-12-31", duration="", event="201").problems
    assert "Activity Event" not in problem.text


def test_what_rows_take_that_do_not_say_comes_from_the_settings(see: See) -> None:
    look = see("Lead Number,User Email", "1,a@x.example", access="write")
    assert look.defaults["Access"] == "write"
    assert look.defaults["Activity Event"] == "201"


def test_a_row_that_can_not_be_read_is_reported_by_its_number(see: See) -> None:
    look = see("Lead Number,User Email", "1,a@x.example", *["2,b@x.example"] * 300, '"3,c@x.example')
    (problem,) = look.problems
    assert problem.row is not None
    assert "quotation mark" in problem.text


def test_headers_alone_are_an_empty_sheet(see: See) -> None:
    look = see("Lead Number,User Email")
    assert (look.rows, [each.text for each in look.problems]) == (
        0,
        ["The sheet can't be used: the sheet is empty: no row with a lead stands below its headers."],
    )


def test_all_worksheets_are_named_also_those_that_are_hidden(tmp_path: Path) -> None:
    book = Workbook()
    book.active.title = "About"
    book.create_sheet("Old").sheet_state = "hidden"
    leads = book.create_sheet("Leads")
    for line in (["Lead Number", "User Email"], ["1", "a@x.example"]):
        leads.append(line)
    book.save(tmp_path / "leads.xlsx")
    settings = Settings.model_construct(event="201", duration="7d")
    look = look_at(tmp_path / "leads.xlsx", SheetOptions(), settings)
    assert (look.worksheets, look.worksheet) == (["About", "Old", "Leads"], "Leads")
    assert look.notes == ["worksheet 'Leads'"]


def test_no_table_and_no_setting_are_errors(see: See, tmp_path: Path) -> None:
    with pytest.raises(SheetError, match="the file is empty"):
        look_at(_empty(tmp_path), SheetOptions(), Settings.model_construct())
    with pytest.raises(SettingsError):
        see("Lead Number,User Email", "1,a@x.example", event="0")


def _empty(folder: Path) -> Path:
    (folder / "empty.csv").write_bytes(b"")
    return folder / "empty.csv"
