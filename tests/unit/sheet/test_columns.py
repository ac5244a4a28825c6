"""Finding columns by their headers."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch_share.errors import SheetError
from batch_share.sheet.columns import Field, match_columns

FILE = Path("leads.csv")
LEAST = ["Lead Id", "Lead Number", "User Id"]

KNOWN_AS = {
    Field.LEAD_ID: ["Lead Id", "ProspectID", "RelatedProspectId"],
    Field.LEAD_NUMBER: ["Lead Number", "ProspectAutoId", "LeadAutoId", "EntityId"],
    Field.USER_ID: ["User Id", "UserId"],
    Field.ACCESS: ["Access", "AccessType"],
    Field.DURATION: ["Duration", "DurationInMinutes"],
    Field.NOTE: ["Note", "ActivityNote"],
    Field.EVENT: ["Activity Event", "ActivityEvent"],
}


def with_header(field: Field, header: str) -> list[str]:
    """A sheet's headers, with `header` for the field."""
    others = [name for name in LEAST if name != field]
    return [*others, "City", header]


@pytest.mark.parametrize(
    ("field", "header"), [(field, each) for field, names in KNOWN_AS.items() for each in names]
)
@pytest.mark.parametrize("vary", [str, str.upper, str.lower, lambda text: f"  {text.replace(' ', '  ')} "])
def test_a_field_is_found_under_each_of_its_names_however_they_are_spelled(
    field: Field, header: str, vary: object
) -> None:
    assert callable(vary)
    assert match_columns(FILE, with_header(field, vary(header)))[field] == (3 if field in LEAST else 4)


@pytest.mark.parametrize("header", ["user_id", "USER-ID", "User\u00a0Id", "User\nId"])
def test_other_separators_mean_the_same(header: str) -> None:
    assert match_columns(FILE, with_header(Field.USER_ID, header))[Field.USER_ID] == 3


@pytest.mark.parametrize("header", ["", "Id", "User", "User Id 2", "Lead", "Notes on lead"])
def test_other_headers_are_other_columns(header: str) -> None:
    assert match_columns(FILE, [*LEAST, header]) == {Field.LEAD_ID: 0, Field.LEAD_NUMBER: 1, Field.USER_ID: 2}


@pytest.mark.parametrize(("first", "second"), [("Lead Id", "lead id"), ("ProspectID", "Related Prospect Id")])
def test_two_columns_for_one_field_are_refused_with_both_names(first: str, second: str) -> None:
    with pytest.raises(SheetError) as caught:
        match_columns(FILE, [first, "Lead Number", "User Id", second])
    assert f"two columns could be the Lead Id: {first!r} and {second!r}" in caught.value.problem


@pytest.mark.parametrize("missing", LEAST)
def test_a_missing_column_is_told_with_its_names_and_the_headers_that_there_are(missing: str) -> None:
    there = [name for name in LEAST if name != missing] + ["City", ""]
    with pytest.raises(SheetError) as caught:
        match_columns(FILE, there)
    wanted, shown = caught.value.problem.split(". Its headers are: ")
    assert wanted.startswith(f"no column for {missing}")
    assert all(name in wanted or name == "UserId" for name in KNOWN_AS[Field(missing)])
    assert shown == f"'{there[0]}', '{there[1]}', 'City'"


def test_all_missing_columns_are_told_at_once() -> None:
    with pytest.raises(SheetError) as caught:
        match_columns(FILE, ["City"])
    assert all(name in caught.value.problem for name in LEAST)
