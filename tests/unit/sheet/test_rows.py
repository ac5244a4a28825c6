"""Checking a row: canonical values, or everything that is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from batch_share.sheet.columns import Field
from batch_share.sheet.reader import RawRow
from batch_share.sheet.rows import NOTE_LIMIT, Problem, RowRules, ShareRow

GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
GOOD = {
    Field.LEAD_ID: GUID,
    Field.LEAD_NUMBER: "869196",
    Field.USER_ID: GUID,
    Field.ACCESS: "write",
    Field.DURATION: "7d",
    Field.NOTE: "Hello",
    Field.EVENT: "201",
}


def check(changed: dict[Field, str], defaults: dict[Field, str] | None = None) -> ShareRow | list[Problem]:
    """Row 7 of a sheet with a column for every field, headers in capitals, some cells changed."""
    rules = RowRules(
        [field.upper() for field in Field], {field: n for n, field in enumerate(Field)}, defaults or {}
    )
    return rules.check(RawRow(7, [(GOOD | changed)[field] for field in Field]))


def good(changed: dict[Field, str], defaults: dict[Field, str] | None = None) -> ShareRow:
    row = check(changed, defaults)
    assert isinstance(row, ShareRow)
    return row


def problems(changed: dict[Field, str]) -> list[Problem]:
    found = check(changed)
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    ("field", "name", "text", "value"),
    [
        (Field.LEAD_ID, "lead_id", GUID.upper(), GUID),
        (Field.LEAD_ID, "lead_id", GUID.replace("-", ""), GUID),
        (Field.USER_ID, "user_id", f"{{{GUID}}}", GUID),
        (Field.USER_ID, "user_id", f" {GUID}\u00a0", GUID),
        (Field.LEAD_NUMBER, "lead_number", "00123", "00123"),
        (Field.LEAD_NUMBER, "lead_number", "12345678901234567890", "12345678901234567890"),
        (Field.ACCESS, "access", "read", 1),
        (Field.ACCESS, "access", "Write", 2),
        (Field.ACCESS, "access", "1", 1),
        (Field.ACCESS, "access", "2", 2),
        (Field.DURATION, "duration", "90", 90),
        (Field.DURATION, "duration", "30m", 30),
        (Field.DURATION, "duration", "12h", 720),
        (Field.DURATION, "duration", "7d", 10080),
        (Field.EVENT, "event", "0201", 201),
        (Field.NOTE, "note", "1 < 2 and é", "1 < 2 and é"),
        (Field.NOTE, "note", "x" * NOTE_LIMIT, "x" * NOTE_LIMIT),
    ],
)
def test_good_values_become_canonical(field: Field, name: str, text: str, value: object) -> None:
    assert getattr(good({field: text}), name) == value


BAD: list[tuple[Field, str, str]] = [
    (Field.LEAD_ID, "869196", "not a GUID"),
    (Field.LEAD_ID, GUID[:-1], "not a GUID"),
    (Field.LEAD_ID, GUID + "0", "not a GUID"),
    (Field.LEAD_ID, GUID[:-1] + "_", "not a GUID"),
    (Field.LEAD_ID, "0x" + GUID.replace("-", "")[2:], "not a GUID"),
    (Field.LEAD_ID, "1_2" + GUID.replace("-", "")[3:], "not a GUID"),
    (Field.LEAD_ID, GUID.replace("-", "", 1), "not a GUID"),
    (Field.LEAD_ID, GUID.replace("0", "٠"), "not a GUID"),
    (Field.USER_ID, "someone@example.com", "not a GUID"),
    (Field.USER_ID, "00000000-0000-0000-0000-000000000000", "an empty GUID names nobody"),
    (Field.LEAD_NUMBER, "869196.0", "digits only"),
    (Field.LEAD_NUMBER, "-1", "digits only"),
    (Field.LEAD_NUMBER, "٨٦٩", "digits only"),
    (Field.LEAD_NUMBER, "1" * 21, "digits only"),
    (Field.LEAD_NUMBER, "1.23457E+15", "last digits are lost"),
    (Field.ACCESS, "3", "write read, write, 1 or 2"),
    (Field.ACCESS, "admin", "write read, write, 1 or 2"),
    (Field.DURATION, "0", "not between 1 minute and ten years"),
    (Field.DURATION, "-5", "no duration"),
    (Field.DURATION, "1.5h", "no duration"),
    (Field.DURATION, "2024-01-02", "no duration"),
    (Field.DURATION, "999999999", "not between 1 minute and ten years"),
    (Field.EVENT, "0", "not the code of an activity type"),
    (Field.EVENT, "201.5", "not the code of an activity type"),
    (Field.EVENT, "Call", "not the code of an activity type"),
    (Field.NOTE, "x" * (NOTE_LIMIT + 1), f"{NOTE_LIMIT + 1} characters"),
    (Field.NOTE, "<b>Hi</b>", "looks like markup"),
    (Field.NOTE, "<!-- -->", "looks like markup"),
]


@pytest.mark.parametrize(("field", "value", "wrong"), BAD)
def test_a_bad_value_is_told_with_row_column_value_and_what_is_wrong(field: Field, value: str, wrong: str) -> None:
    (problem,) = problems({field: value})
    assert (problem.row, problem.column, problem.value) == (7, field.upper(), value)
    assert wrong in problem.wrong
    assert "Value error" not in problem.wrong


@pytest.mark.parametrize("field", list(Field))
@pytest.mark.parametrize("blank", ["", "  ", "\u00a0"])
def test_a_blank_value_without_a_default_is_blank_and_nothing_else(field: Field, blank: str) -> None:
    if field is Field.NOTE:
        assert good({field: blank}).note == ""
    else:
        assert problems({field: blank}) == [Problem(7, field.upper(), "", "blank")]


def test_everything_that_is_wrong_with_a_row_is_told_at_once() -> None:
    wrong = {Field.LEAD_ID: "x", Field.USER_ID: "", Field.DURATION: "soon"}
    assert [problem.column for problem in problems(wrong)] == ["LEAD ID", "USER ID", "DURATION"]


def test_a_row_whose_cells_may_be_shifted_is_not_read_further() -> None:
    rules = RowRules(["A"], {Field.LEAD_ID: 0}, {})
    assert rules.check(RawRow(3, ["x", "y"], "2 cells for 1 headers")) == [
        Problem(3, "", "", "2 cells for 1 headers")
    ]


DEFAULTS = {Field.ACCESS: "read", Field.DURATION: "1h", Field.EVENT: "300", Field.NOTE: "From the option"}
DEFAULTED: list[tuple[Field, str, Any]] = [
    (Field.ACCESS, "access", 1),
    (Field.DURATION, "duration", 60),
    (Field.EVENT, "event", 300),
    (Field.NOTE, "note", "From the option"),
]


@pytest.mark.parametrize(("field", "name", "value"), DEFAULTED)
def test_a_blank_cell_takes_the_option_and_a_filled_one_does_not(field: Field, name: str, value: object) -> None:
    assert getattr(good({field: " "}, DEFAULTS), name) == value
    assert getattr(good({}, DEFAULTS), name) == getattr(good({}), name) != value


def test_a_field_without_a_column_takes_the_option() -> None:
    fields = {Field.LEAD_ID: 0, Field.LEAD_NUMBER: 1, Field.USER_ID: 2}
    row = RowRules(list(fields), fields, DEFAULTS).check(RawRow(2, [GUID, "1", GUID]))
    assert isinstance(row, ShareRow)
    assert (row.access, row.duration, row.event, row.note) == (1, 60, 300, "From the option")


def test_a_field_without_column_and_option_is_named_by_its_usual_header() -> None:
    fields = {Field.LEAD_ID: 0, Field.LEAD_NUMBER: 1, Field.USER_ID: 2}
    found = RowRules(["a", "b", "c"], fields, {Field.ACCESS: "read"}).check(RawRow(2, [GUID, "1", GUID]))
    assert found == [Problem(2, "Duration", "", "blank"), Problem(2, "Activity Event", "", "blank")]


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        (Problem(7, "Lead Id", "x", "not a GUID"), "Row 7, Lead Id 'x': not a GUID"),
        (Problem(7, "Lead Id", "", "blank"), "Row 7, Lead Id: blank"),
        (Problem(7, "", "", "only 1 of 3 cells"), "Row 7: only 1 of 3 cells"),
        (Problem(7, "Note", "x" * 61, "too long"), f"Row 7, Note '{'x' * 57}…': too long"),
    ],
)
def test_a_problem_reads_as_one_line(problem: Problem, sentence: str) -> None:
    assert str(problem) == sentence
