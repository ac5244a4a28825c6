"""Finding columns by a mapping, or by their headers as people write them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from batch_share.errors import SheetError
from batch_share.sheet.columns import Columns, Field, custom_field, letters, match_columns
from batch_share.sheet.table import RawRow

FILE = Path("leads.csv")
LEAST = ["Lead Number", "User Id"]
LEAD_OR_USER = {
    Field.LEAD_ID,
    Field.LEAD_NUMBER,
    Field.LEAD_EMAIL,
    Field.LEAD_PHONE,
    Field.USER_ID,
    Field.USER_EMAIL,
}

KNOWN_AS = {
    Field.LEAD_ID: ["Lead Id", "ProspectID", "RelatedProspectId"],
    Field.LEAD_NUMBER: ["Lead Number", "ProspectAutoId", "LeadAutoId", "EntityId"],
    Field.LEAD_EMAIL: ["Lead Email", "Customer Email", "Email", "Email Address"],
    Field.LEAD_PHONE: ["Lead Phone", "Phone", "Mobile Number"],
    Field.USER_ID: ["User Id", "UserId", "Owner Id"],
    Field.USER_EMAIL: ["User Email", "Sales User Email", "Owner Email"],
    Field.USER: ["Sales User", "User", "Owner", "Assigned To"],
    Field.ACCESS: ["Access", "AccessType", "Permission"],
    Field.DURATION: ["Duration", "DurationInMinutes"],
    Field.DAYS: ["Days"],
    Field.UNTIL: ["Until", "End Date"],
    Field.NOTE: ["Note", "ActivityNote"],
    Field.EVENT: ["Activity Event", "ActivityEvent"],
}
LEADS = (Field.LEAD_ID, Field.LEAD_NUMBER, Field.LEAD_EMAIL, Field.LEAD_PHONE)
USERS = (Field.USER_ID, Field.USER_EMAIL, Field.USER)


def with_header(field: Field, header: str) -> list[str]:
    """A sheet's headers, with `header` for the field and something for the lead and the user."""
    lead = [] if field in LEADS else ["Lead Number"]
    user = [] if field in USERS else ["User Id"]
    return [*lead, *user, "City", header]


def fields(columns: list[str], mapping: dict[str, str] | None = None) -> dict[Field, str]:
    """By field, the header it was found under."""
    found = match_columns(FILE, columns, mapping)
    return {field: columns[index] for field, index in found.fields.items()}


def refusal(columns: list[str], mapping: dict[str, str] | None = None) -> str:
    with pytest.raises(SheetError) as caught:
        match_columns(FILE, columns, mapping)
    return caught.value.problem


@pytest.mark.parametrize(
    ("field", "header"), [(field, each) for field, names in KNOWN_AS.items() for each in names]
)
@pytest.mark.parametrize("vary", [str, str.upper, str.lower, lambda text: text.replace(" ", "  ")])
def test_a_field_is_found_under_each_of_its_names_however_they_are_spelled(
    field: Field, header: str, vary: object
) -> None:
    assert callable(vary)
    assert fields(with_header(field, vary(header)))[field] == vary(header)


@pytest.mark.parametrize("header", ["user_id", "USER-ID", "User\u00a0Id", "User\nId"])
def test_other_separators_mean_the_same(header: str) -> None:
    assert fields(["Lead Number", header])[Field.USER_ID] == header


@pytest.mark.parametrize("header", ["Id", "User Id 2", "Lead", "Notes on lead", "Lead Owner"])
def test_other_headers_are_other_columns(header: str) -> None:
    assert match_columns(FILE, [*LEAST, header]) == Columns({Field.LEAD_NUMBER: 0, Field.USER_ID: 1}, {})


@pytest.mark.parametrize("vague", ["Owner", "Owner Id", "Sales User", "Email", "Phone"])
def test_a_vague_header_is_not_read_beside_a_plain_one(vague: str) -> None:
    assert fields([*LEAST, vague]) == {Field.LEAD_NUMBER: "Lead Number", Field.USER_ID: "User Id"}


@pytest.mark.parametrize(("first", "second"), [("ProspectID", "Related Prospect Id"), ("Access", "Permission")])
def test_two_columns_for_one_field_are_refused_with_both_names(first: str, second: str) -> None:
    problem = refusal([*LEAST, first, second])
    assert "two columns could be the" in problem
    assert f"{first!r} and {second!r}" in problem
    assert "--map" in problem


def test_two_vague_columns_for_the_user_are_refused_only_where_one_is_needed() -> None:
    assert "two columns could be the Sales User: 'Owner' and 'Assigned To'" in refusal(
        ["Lead Number", "Owner", "Assigned To"]
    )
    assert fields([*LEAST, "Owner", "Assigned To"])[Field.USER_ID] == "User Id"


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (["Lead Number", "City"], "no column for the user (User Id, User Email, Sales User)"),
        (["User Id", "City"], "no column for the lead (Lead Id, Lead Number, Lead Email, Lead Phone)"),
        (["City"], "no column for the lead and the user"),
        (["Lead Numbr", "User Id"], "'Lead Numbr' for Lead Number? Then add --map \"Lead Numbr=Lead Number\"."),
        (["Lead Number", "Usr Emial"], "'Usr Emial' for User Email? Then add --map \"Usr Emial=User Email\"."),
    ],
)
def test_what_is_missing_is_told_with_what_there_is(columns: list[str], words: str) -> None:
    problem = refusal(columns)
    assert words in problem
    assert all(repr(column) in problem for column in columns)


GUID, MAIL = "0f8fad5b-d9cb-469f-a165-70867728950e", "asha@example.com"


def option(header: str, cells: list[str], *others: str) -> str:
    """The option that is told for a sheet of a column with these cells and others, "" if none is."""
    rows = [RawRow(at, [cell, *["x"] * len(others)]) for at, cell in enumerate(cells, start=2)]
    with pytest.raises(SheetError) as caught:
        match_columns(FILE, [header, *others], {}, lambda: rows)
    return caught.value.problem.partition("Then add --map ")[2].partition(". Its headers")[0]


@pytest.mark.parametrize(
    ("header", "cells", "told"),
    [
        ("Lead", ["869000", "869001"], '"Lead=Lead Number"'),
        ("Lead #", ["", "869000"], '"Lead #=Lead Number"'),
        ("Lead", [GUID, GUID.upper()], '"Lead=Lead Id"'),
        ("Lead", [MAIL], '"Lead=Lead Email"'),
        ("Lead", ["+91-9810000019"], '"Lead=Lead Phone"'),
        ("Lead", ["9810000019", "+91 9810000020"], '"Lead=Lead Phone"'),
        ("Lead Phon", ["9810000019"], '"Lead Phon=Lead Phone"'),
        ("Lead", ["869000", "n/a", "869001"], '"Lead=Lead Number"'),
        ("Lead", ["Asha Rao", "869000"], ""),
        ("Lead Numbr", ["Asha Rao"], ""),
        ("Town", ["869000"], ""),
    ],
)
def test_a_column_is_suggested_for_what_it_holds(header: str, cells: list[str], told: str) -> None:
    assert option(header, cells, "User Id") == told


@pytest.mark.parametrize(
    ("header", "cells", "told"),
    [
        ("Usr Id", [GUID], '"Usr Id=User Id"'),
        ("Usr", [MAIL], '"Usr=Sales User"'),
        ("Usr", [MAIL, GUID], '"Usr=Sales User"'),
        ("Usr Id", [MAIL], '"Usr Id=User Email"'),
        ("Usr", ["Asha Rao"], ""),
        ("Usr", ["12"], ""),
    ],
)
def test_so_is_one_for_the_user(header: str, cells: list[str], told: str) -> None:
    assert option(header, cells, "Lead Number") == told


def test_a_column_that_is_read_already_is_not_suggested_for_something_else() -> None:
    assert "Did you mean" not in refusal(["Name", "User Email"])
    assert "Did you mean 'Lead Numbr' for Lead Number?" in refusal(["Lead Numbr", "User Id"])


def test_the_first_column_is_suggested_that_holds_what_it_should() -> None:
    rows = [RawRow(2, ["Asha Rao", "869000", GUID])]
    with pytest.raises(SheetError, match='--map "Lead Nr=Lead Number"'):
        match_columns(FILE, ["Lead", "Lead Nr", "User Id"], {}, lambda: rows)


def test_the_option_that_is_told_can_be_typed_and_means_the_column() -> None:
    header = 'Lead "$#`\\\n!'
    told = option(header, ["869000"], "User Id")
    (typed,) = shlex.split(told)
    name, _, field = typed.rpartition("=")
    assert not set("$`\\!") & set(told)
    assert fields([header, "User Id"], {name: field})[Field.LEAD_NUMBER] == header


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (["Lead Number", "", "User Id"], "column B has no header"),
        (["Lead Number", "City", "User Id", "city"], "'City' (B), 'city' (D)"),
        (["Lead Id", "User Id", "lead id"], "'Lead Id' (A), 'lead id' (C)"),
    ],
)
def test_headers_that_are_blank_or_there_twice_are_refused_by_name(columns: list[str], words: str) -> None:
    assert words in refusal(columns)


def test_a_table_may_begin_in_another_column_than_the_first() -> None:
    assert match_columns(FILE, ["", "", *LEAST]).fields == {Field.LEAD_NUMBER: 2, Field.USER_ID: 3}


def test_headers_of_signs_alone_are_different_headers() -> None:
    assert fields([*LEAST, "#", "№"])[Field.LEAD_NUMBER] == "Lead Number"


# ------------------------------------------------------------------------------------------------- mapping


def test_a_mapping_says_what_a_column_holds() -> None:
    columns = ["Kunde", "Betreuer", "Region"]
    found = match_columns(FILE, columns, {"Kunde": "Lead Email", "betreuer": "user email", "Region": "mx_Custom_3"})
    assert found == Columns({Field.LEAD_EMAIL: 0, Field.USER_EMAIL: 1}, {"mx_Custom_3": 2})


def test_a_mapping_wins_over_what_a_header_looks_like() -> None:
    assert fields([*LEAST, "Number of the lead"], {"Number of the lead": "Lead Number"}) == {
        Field.LEAD_NUMBER: "Number of the lead",
        Field.USER_ID: "User Id",
    }


@pytest.mark.parametrize("columns", [["Lead", "Lead #", "User Id"], ["Lead #", "Lead", "User Id"]])
@pytest.mark.parametrize("named", ["Lead", "LEAD", "Lead #"])
def test_of_two_headers_that_differ_in_a_sign_the_one_that_was_named_is_meant(
    columns: list[str], named: str
) -> None:
    meant = "Lead #" if "#" in named else "Lead"
    assert fields(columns, {named: "Lead Number"})[Field.LEAD_NUMBER] == meant


def test_a_name_that_fits_two_headers_and_is_neither_is_refused() -> None:
    problem = refusal(["Lead #", "Lead?", "User Id"], {"lead": "Lead Number"})
    assert problem == "the mapping of 'lead' fits two columns: 'Lead #' and 'Lead?'"


def test_a_mapping_can_have_a_column_ignored() -> None:
    assert Field.NOTE not in fields([*LEAST, "Note"], {"Note": "ignore"})


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"Citty": "Note"}, "names a column 'Citty' that is not there. Did you mean 'City'?"),
        ({"City": "Notee"}, "names no field: 'Notee'. Did you mean 'Note'?"),
        ({"City": "mx_Custom_0"}, "names no field: 'mx_Custom_0'"),
        ({"City": "Note", "Region": "Note"}, "the mapping names two columns for Note"),
    ],
)
def test_a_mapping_that_fits_nothing_is_refused(mapping: dict[str, str], words: str) -> None:
    assert words in refusal([*LEAST, "City", "Region"], mapping)


# ------------------------------------------------------------------------------------------- custom fields


def test_custom_fields_are_found_by_their_names() -> None:
    found = match_columns(FILE, [*LEAST, "MX_custom_1", "mx_Custom_12"])
    assert found.custom == {"mx_Custom_1": 2, "mx_Custom_12": 3}
    assert found.used == {0, 1, 2, 3}


@pytest.mark.parametrize("name", ["mx_Custom_0", "mx_Custom_100", "mx_Custom", "xmx_Custom_1", "mx_Custom_1x"])
def test_other_names_are_no_custom_fields(name: str) -> None:
    assert custom_field(name) is None


@pytest.mark.parametrize(("index", "name"), [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA")])
def test_columns_have_the_letters_of_a_spreadsheet(index: int, name: str) -> None:
    assert letters(index) == name
