"""Finding columns by a mapping, or by their headers as people write them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_share.errors import SheetError
from batch_share.sheet.columns import (
    INTENT,
    Columns,
    Field,
    custom_field,
    is_known,
    letters,
    match_columns,
    spell_unread,
    squeeze,
)
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
    Field.LEAD_EMAIL: [
        "Lead Email", "Customer Email", "Contact E-mail", "Client Email", "Prospect Email Address", "Email",
        "EmailAddress",
    ],
    Field.LEAD_PHONE: ["Lead Phone", "Contact Mobile", "Phone", "Mobile Number"],
    Field.USER_ID: ["User Id", "UserId", "Sales User Id", "New Owner Id", "Hand Over To Id"],
    Field.USER_EMAIL: ["User Email", "Sales User Email", "New Owner E-mail", "New Rep Email Address"],
    Field.USER: [
        "Sales User", "User", "New Owner", "New Rep", "New Assignee", "New Lead Owner", "Assign To", "Re-assign To",
        "Transfer To", "Share With", "Share To", "Hand Over To", "HandoverTo",
    ],
    Field.ACCESS: ["Access", "AccessType", "Permission"],
    Field.DURATION: ["Duration", "DurationInMinutes"],
    Field.DAYS: ["Days"],
    Field.UNTIL: ["Until", "End Date"],
    Field.NOTE: ["Note", "ActivityNote"],
    Field.EVENT: ["Activity Event", "ActivityEvent"],
}  # fmt: skip
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
    return caught.value.wrong


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


@pytest.mark.parametrize("vague", ["Owner", "Owner Id", "Sales User", "Sales User Name", "Email", "Phone"])
def test_a_vague_header_is_not_read_beside_a_plain_one(vague: str) -> None:
    assert fields([*LEAST, vague]) == {Field.LEAD_NUMBER: "Lead Number", Field.USER_ID: "User Id"}


@pytest.mark.parametrize(
    ("header", "mapping", "is_other"),
    [
        ("Sales User", {}, True),
        ("New Owner Name", {}, True),
        ("Owner", {}, False),
        ("Lead Owner Name", {}, False),
        ("Sales User", {"Sales User": "ignore"}, False),
        ("Sales User", {"User Id": "User Id"}, False),
    ],
)
def test_what_is_called_as_the_user_beside_the_user_is_known(
    header: str, mapping: dict[str, str], is_other: bool
) -> None:
    assert match_columns(FILE, [*LEAST, header], mapping).others == ((2,) if is_other else ())


@pytest.mark.parametrize(("first", "second"), [("ProspectID", "Related Prospect Id"), ("Access", "Permission")])
def test_two_columns_for_one_field_are_refused_with_both_names(first: str, second: str) -> None:
    problem = refusal([*LEAST, first, second])
    assert "two columns could be the" in problem
    assert f"{first!r} and {second!r}" in problem
    assert "--map" in problem


def test_two_columns_for_the_user_are_refused_only_where_one_is_needed() -> None:
    assert "two columns could be the Sales User: 'New Owner' and 'Share With'" in refusal(
        ["Lead Number", "New Owner", "Share With"]
    )
    assert fields([*LEAST, "New Owner", "Share With"])[Field.USER_ID] == "User Id"


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
def test_what_is_missing_is_reported_with_what_there_is(columns: list[str], words: str) -> None:
    problem = refusal(columns)
    assert words in problem
    assert all(repr(column) in problem for column in columns)


GUID, MAIL = "0f8fad5b-d9cb-469f-a165-70867728950e", "asha@example.com"


Held = dict[str, list[str]]
"""A sheet's first rows, by header the cells of its column."""


def match(held: Held, mapping: dict[str, str] | None = None) -> Columns:
    rows = [RawRow(at, cells) for at, cells in enumerate(zip(*held.values(), strict=True), start=2)]
    return match_columns(FILE, [*held], mapping, rows)


def taken(held: Held, mapping: dict[str, str] | None = None) -> dict[Field, str]:
    """By field, the header it was found under."""
    return {field: [*held][index] for field, index in match(held, mapping).fields.items()}


def option(header: str, cells: list[str], *others: str) -> str:
    """The option that is told for a sheet of a column with these cells and others, "" if none is."""
    with pytest.raises(SheetError) as caught:
        match({header: cells} | {other: ["x"] * len(cells) for other in others})
    return caught.value.wrong.partition("Then add --map ")[2].partition(". Its headers")[0]


@pytest.mark.parametrize(
    ("header", "cells", "reported"),
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
        ("Customer no", ["869000"], '"Customer no=Lead Number"'),
        ("Client Number", ["9810000019"], '"Client Number=Lead Number"'),
        ("Customer no", ["+91-9810000019"], '"Customer no=Lead Phone"'),
        ("Customer Mob", ["9810000019"], '"Customer Mob=Lead Phone"'),
        ("Town", ["869000"], ""),
    ],
)
def test_a_column_is_suggested_for_what_it_holds(header: str, cells: list[str], reported: str) -> None:
    assert option(header, cells, "User Id") == reported


@pytest.mark.parametrize(
    ("header", "cells", "reported"),
    [
        ("Usr Id", [GUID], '"Usr Id=User Id"'),
        ("Usr", [MAIL], '"Usr=Sales User"'),
        ("Usr", [MAIL, GUID], '"Usr=Sales User"'),
        ("Usr Id", [MAIL], '"Usr Id=User Email"'),
        ("Usr", ["Asha Rao"], ""),
        ("Usr", ["12"], ""),
        ("CreatedByEmailAddress", [MAIL], ""),
        ("Last Modified By E-mail", [MAIL], ""),
    ],
)
def test_so_is_one_for_the_user(header: str, cells: list[str], reported: str) -> None:
    assert option(header, cells, "Lead Number") == reported


def test_a_column_that_is_read_already_is_not_suggested_for_something_else() -> None:
    assert "Did you mean" not in refusal(["Name", "User Email"])
    assert "Did you mean 'Lead Numbr' for Lead Number?" in refusal(["Lead Numbr", "User Id"])


def test_the_first_column_is_suggested_that_holds_what_it_should() -> None:
    with pytest.raises(SheetError, match='--map "Lead Nr=Lead Number"'):
        match({"Lead": ["Asha Rao"], "Lead Nr": ["869000"], "User Id": [GUID]})


def test_what_is_another_field_s_header_is_not_suggested_for_the_user() -> None:
    assert option("Email", [MAIL], "Lead Number") == ""


def test_the_option_that_is_reported_can_be_typed_and_means_the_column() -> None:
    header = 'Lead "$#`\\\n!'
    reported = option(header, ["869000"], "User Id")
    (typed,) = shlex.split(reported)
    name, _, field = typed.rpartition("=")
    assert not set("$`\\!") & set(reported)
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


MANY = [f"col{at}" for at in range(2_000)]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (MANY, "Its headers are: 'col0', 'col1', 'col2'"),
        ([*LEAST, *[""] * 2_000, "x"], "column C, D, E, F, G, H, I, J, K, L and 1,990 more has no header"),
        ([*LEAST, *MANY, *MANY], "a header is there more than once: 'col0' (C), 'col1' (D)"),
        ([*LEAST[:1], *(f"{name} {'x' * 3_000}" for name in MANY[:100])], "'col8 xxx"),
    ],
    ids=["no user", "blank", "twice", "long"],
)
def test_of_a_sheet_of_very_many_headers_the_first_ten_are_shown(columns: list[str], words: str) -> None:
    reported = refusal(columns)
    assert words in reported
    assert " more" in reported
    assert len(reported) < 1000


def test_of_very_many_columns_that_may_be_the_users_the_first_ten_are_shown() -> None:
    columns = ["Lead Number", *(f"Column {at}" for at in range(400)), "Owner"]
    rows = [RawRow(number, [NUMBERS[0], *[USERS_MAILS[0]] * 401]) for number in (2, 3, 4)]
    with pytest.raises(SheetError, match="'Owner' usually says who has the lead now") as caught:
        match_columns(FILE, columns, first_rows=rows)
    assert len(caught.value.wrong) < 1000


def test_a_table_may_begin_in_another_column_than_the_first() -> None:
    assert match_columns(FILE, ["", "", *LEAST]).fields == {Field.LEAD_NUMBER: 2, Field.USER_ID: 3}


def test_headers_of_signs_alone_are_different_headers() -> None:
    assert fields([*LEAST, "#", "№"])[Field.LEAD_NUMBER] == "Lead Number"


# ------------------------------------------------------------------------------------- who is to get a lead

NUMBERS = ["869000", "869001", "869002"]
IDS = [GUID, GUID.replace("0", "1"), GUID.replace("0", "2")]
USERS_MAILS = ["asha@sales.example.com", "ravi@sales.example.com", "isha@sales.example.com"]
LEADS_MAILS = ["a@example.com", "b@example.com", "c@example.com"]
NAMES = ["Asha Rao", "Ravi Das", "Isha Roy"]
LEAD: Held = {"Lead Number": NUMBERS}


@pytest.mark.parametrize("wanted", ["New rep", "Share With", "New Owner", "User"])
@pytest.mark.parametrize("cells", [IDS, USERS_MAILS, NAMES, ["", "", ""]])
def test_the_owner_of_an_export_is_never_taken_beside_a_column_that_says_who_is_to_get_the_lead(
    wanted: str, cells: list[str]
) -> None:
    export = {
        "ProspectID": IDS,
        "ProspectAutoId": NUMBERS,
        "EmailAddress": LEADS_MAILS,
        "OwnerId": IDS,
        "OwnerIdEmailAddress": USERS_MAILS,
        wanted: cells,
    }
    assert taken(export) == {
        Field.LEAD_ID: "ProspectID",
        Field.LEAD_NUMBER: "ProspectAutoId",
        Field.USER: wanted,
    }
    found = match(export)
    assert not spell_unread([*export], found)
    # Only that they are users is worth a word.
    assert "'OwnerIdEmailAddress' holds e-mail addresses of users" in spell_unread([*export], found, USERS_MAILS)[0]


STATES = [
    "OwnerId", "Owner Id", "OwnerIdEmailAddress", "Owner", "Owner E-mail", "Lead Owner", "Lead Owner Email",
    "Assigned To", "Agent", "Sales Rep", "Rep", "Current Owner", "Account Owner Id", "Relationship Manager",
    "Shared With",
]  # fmt: skip


@pytest.mark.parametrize("header", STATES)
@pytest.mark.parametrize(
    ("cells", "kind"),
    [(IDS, Field.USER_ID), (USERS_MAILS, Field.USER_EMAIL), ([*USERS_MAILS[:2], ""], Field.USER_EMAIL)],
)
def test_whoever_has_the_lead_now_is_taken_only_in_doubt(header: str, cells: list[str], kind: Field) -> None:
    found = match(LEAD | {header: cells})
    field = Field.USER if header.endswith(("Owner", "To", "Agent", "Rep", "Manager", "With")) else kind
    assert found.fields == {Field.LEAD_NUMBER: 0, field: 1}
    assert found.doubtful == {1: [cell for cell in cells if cell]}
    mapped = match(LEAD | {header: cells}, {header: str(field)})
    assert mapped == Columns(found.fields, {})


def test_the_id_and_the_address_of_one_owner_go_together() -> None:
    held = LEAD | {"OwnerId": IDS, "OwnerIdName": NAMES, "OwnerIdEmailAddress": USERS_MAILS}
    found = match(held)
    assert found.fields == {Field.LEAD_NUMBER: 0, Field.USER_ID: 1, Field.USER_EMAIL: 3}
    assert [*found.doubtful] == [1, 3]
    assert taken(LEAD | {"Owner": NAMES, "Owner Email": USERS_MAILS})[Field.USER_EMAIL] == "Owner Email"


@pytest.mark.parametrize(
    "other",
    [
        {"Team mate": USERS_MAILS},
        {"Colleague": IDS},
        {"Colleague": ["", *IDS[:2]]},
        {"Asign To": NAMES},
        {"Asign To": ["", "", ""]},
        {"New Owner Name": NAMES},
        {"Assigned To": NAMES},
        {"Lead Owner": USERS_MAILS},
        {"Owner": USERS_MAILS},
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_whoever_has_the_lead_now_is_not_taken_where_another_column_could_be_meant(
    other: Held, is_first: bool
) -> None:
    owner = {"Owner Email": USERS_MAILS}
    with pytest.raises(SheetError) as caught:
        match(LEAD | (other | owner if is_first else owner | other))
    problem = caught.value.wrong
    assert problem.startswith("which column says who is to get the lead?")
    assert "'Owner Email'" in problem
    assert "usually say" in problem
    assert '--map "Owner Email=User Email"' in problem
    ((header, cells),) = other.items()
    assert repr(header) in problem
    can_be = {USERS_MAILS[0]: "User Email", IDS[0]: "User Id"}.get(next(filter(None, cells), ""))
    assert (f'--map "{header}={can_be}"' in problem) == (can_be is not None)
    assert ("a name does not say which user" in problem) == (can_be is None)
    assert taken(LEAD | owner | other, {"Owner Email": "User Email"})[Field.USER_EMAIL] == "Owner Email"
    if can_be is not None:
        assert header in taken(LEAD | owner | other, {header: can_be}).values()
        assert "Owner Email" not in taken(LEAD | owner | other, {header: can_be}).values()
    ignored = match(LEAD | owner | other, {header: "ignore"})
    assert [*ignored.doubtful] == [1]


def test_of_one_person_s_columns_the_name_is_not_offered() -> None:
    with pytest.raises(SheetError) as caught:
        match(LEAD | {"OwnerId": IDS, "OwnerIdName": NAMES, "CreatedBy": IDS})
    assert "'OwnerId' usually says who has the lead now, and 'CreatedBy' could be" in caught.value.wrong
    assert "OwnerIdName" not in caught.value.wrong


@pytest.mark.parametrize(
    "other",
    [
        {"EmailAddress": LEADS_MAILS},
        {"Contact Phone": ["9810000019"] * 3},
        {"City": ["Pune", "Goa", "Agra"]},
        {"Activity Id": IDS},
        {"Some ids": [IDS[0], "x", "y"]},
        {"mx_Custom_1": USERS_MAILS},
        *({header: ["x", "y", "z"]} for header in (
            "First Name", "Lead Name", "Full Name", "Region", "Sales Region", "Status", "Lead Stage", "Source",
            "Company", "Product", "Created On", "Modified On", "Transfer Date", "Language", "Remarks", "Score",
            "Lead Type", "State", "Address", "Reason", "Sheet Row", "Result",
        )),
    ],
)  # fmt: skip
def test_a_column_of_something_else_leaves_whoever_has_the_lead_now_to_be_asked_about(other: Held) -> None:
    assert [*match(LEAD | {"OwnerId": IDS} | other).doubtful] == [1]


@pytest.mark.parametrize(
    "header", ["Owner", "OwnerIdName", "Owner Name", "New Owner Name", "Assigned To", "User Name"]
)
def test_a_name_does_not_say_which_user_it_is(header: str) -> None:
    with pytest.raises(SheetError) as caught:
        match(LEAD | {header: NAMES})
    problem = caught.value.wrong
    assert problem.startswith("no column for the user")
    assert f"{header!r}: not e-mail addresses or Ids in most of the first rows, and a name does not say" in problem
    # Under whatever header, they would be names still.
    assert problem.endswith(f"Put e-mail addresses or user Ids in {header!r}")
    assert (caught.value.hint or "").startswith("Put e-mail addresses or user Ids in")


def test_a_person_s_column_is_suggested_too_where_the_lead_is_missing() -> None:
    with pytest.raises(SheetError, match='--map "Owner=Sales User"'):
        match({"Town": NAMES, "Owner": USERS_MAILS})


@pytest.mark.parametrize(
    ("held", "field"),
    [
        ({"Sales User": NAMES, "User Id": IDS}, None),
        ({"Sales User": USERS_MAILS, "User Id": IDS}, Field.USER_EMAIL),
        ({"Assign To": IDS, "User Email": USERS_MAILS}, Field.USER_ID),
    ],
)
def test_beside_a_user_s_id_or_address_any_other_is_read_if_it_holds_one_too(
    held: Held, field: Field | None
) -> None:
    first, second = held
    found = taken(LEAD | held)
    assert found.pop(Field.LEAD_NUMBER)
    assert second in found.values()
    assert found.get(field) == (first if field else None) if field else first not in found.values()


def test_two_addresses_of_who_is_to_get_the_lead_are_one_too_many() -> None:
    with pytest.raises(SheetError, match="two columns could be the User Email: 'User Email' and 'New Owner'"):
        match(LEAD | {"New Owner": USERS_MAILS, "User Email": USERS_MAILS})


# ------------------------------------------------------------------------------------- e-mail before phone


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        (["Contact E-mail", "Mobile"], Field.LEAD_EMAIL),
        (["Mobile", "Contact E-mail"], Field.LEAD_EMAIL),
        (["Mobile", "Email"], Field.LEAD_EMAIL),
        (["Mobile", "Lead Number"], Field.LEAD_NUMBER),
        (["Mobile", "City"], Field.LEAD_PHONE),
    ],
)
def test_a_phone_is_not_read_beside_what_is_surer(headers: list[str], field: Field) -> None:
    found = fields([*headers, "New Owner"])
    assert found.keys() == {field, Field.USER}


def test_a_plain_phone_and_an_address_must_agree() -> None:
    assert fields(["Lead Phone", "Email", "New Owner"]).keys() == {Field.LEAD_PHONE, Field.LEAD_EMAIL, Field.USER}
    assert Field.LEAD_EMAIL not in fields(["Handy", "Email", "New Owner"], {"Handy": "Lead Phone"})


PHONES = ["+91-9810000019", "9810000020", "9810000021"]


@pytest.mark.parametrize("phone", ["Mobile", "Phone Number", "Lead Phone"])
@pytest.mark.parametrize("address", ["E-Mail-Adresse Kunde", "Korrespondenz"])
def test_leads_are_never_known_by_phone_while_a_column_of_addresses_may_be_theirs(phone: str, address: str) -> None:
    held = {phone: PHONES, address: LEADS_MAILS, "New Owner": USERS_MAILS}
    with pytest.raises(SheetError) as caught:
        match(held)
    assert caught.value.wrong == (
        f"which column says which lead it is? {phone!r} holds phone numbers, and {address!r} holds e-mail "
        f'addresses, which are surer. Add what is meant: --map "{address}=Lead Email" or --map "{phone}=Lead Phone"'
    )
    assert "--" not in caught.value.problem + caught.value.hint
    assert taken(held, {address: "Lead Email"}).keys() - {Field.LEAD_PHONE} == {Field.LEAD_EMAIL, Field.USER}
    assert taken(held, {phone: "Lead Phone"}).keys() == {Field.LEAD_PHONE, Field.USER}
    assert taken(held, {address: "ignore"}).keys() == {Field.LEAD_PHONE, Field.USER}


@pytest.mark.parametrize("header", ["Owner Email", "CreatedByEmailAddress", "Assigned To"])
def test_addresses_of_somebody_else_leave_the_phone_be(header: str) -> None:
    assert Field.LEAD_PHONE in taken({"Mobile": PHONES, header: USERS_MAILS, "New Owner": USERS_MAILS})


def test_where_the_user_is_missing_too_both_are_asked_for_at_once() -> None:
    with pytest.raises(SheetError) as caught:
        match({"Mobile": PHONES, "Kontakt E-Mail": LEADS_MAILS, "Neuer Betreuer": USERS_MAILS})
    assert caught.value.wrong.startswith("no column for the lead and the user")
    assert '--map "Kontakt E-Mail=Lead Email"' in caught.value.wrong
    assert '--map "Neuer Betreuer=User Email"' in caught.value.wrong


# ------------------------------------------------------------------------- suggested by what they hold alone


@pytest.mark.parametrize(
    ("held", "options"),
    [
        (LEAD | {"Betreuer": USERS_MAILS}, ["Betreuer=User Email"]),
        (LEAD | {"Betreuer": IDS, "Ort": NAMES}, ["Betreuer=User Id"]),
        (LEAD | {"A": USERS_MAILS, "B": USERS_MAILS}, ["A=User Email", "B=User Email"]),
        (LEAD | {"CreatedByEmailAddress": USERS_MAILS}, []),
        (LEAD | {"Request Id": IDS}, []),
        ({"User Id": IDS, "Kunde": LEADS_MAILS}, ["Kunde=Lead Email"]),
        ({"User Id": IDS, "Telefon": PHONES}, ["Telefon=Lead Phone"]),
        ({"User Id": IDS, "Telefon": ["9810000019"] * 3, "Kunde": LEADS_MAILS}, ["Kunde=Lead Email"]),
        ({"User Id": IDS, "PIN": ["411001", "411002", "411003"]}, []),
        ({"User Id": IDS, "Seit": ["2026-01-31", "31.12.2026", "31-12-2026"]}, []),
        ({"A": LEADS_MAILS}, ["A=Lead Email"]),
    ],
)
def test_what_is_missing_may_be_what_holds_such_things(held: Held, options: list[str]) -> None:
    with pytest.raises(SheetError) as caught:
        match(held)
    assert re.findall(r'--map "([^"]+)"', caught.value.wrong) == options


# --------------------------------------------------------------------------- headers that cells contradict


@pytest.mark.parametrize(
    ("header", "cells", "held", "options"),
    [
        ("Lead Email", ["9810000019"] * 3, "phone numbers ('9810000019', …)", ["Lead Phone", "ignore"]),
        ("Lead Email", IDS, "Ids", ["Lead Id", "ignore"]),
        ("Lead Id", NUMBERS, "numbers", ["Lead Number", "ignore"]),
        ("Lead Number", LEADS_MAILS, "e-mail addresses", ["Lead Email", "ignore"]),
        ("Phone", LEADS_MAILS, "e-mail addresses", ["Lead Email", "ignore"]),
        ("Lead Number", ["2026-12-31"] * 3, "dates", ["ignore"]),
    ],
)
def test_a_lead_s_column_that_holds_something_else_is_one_error(
    header: str, cells: list[str], held: str, options: list[str]
) -> None:
    with pytest.raises(SheetError) as caught:
        match({header: cells, "User Id": IDS})
    assert caught.value.wrong.startswith(f"column {header!r} holds {held}")
    assert "so it is not the Lead " in caught.value.wrong
    assert re.findall(r'--map "[^"]+=([^"]+)"', caught.value.wrong) == options
    assert caught.value.problem.startswith("Column ")
    assert "--" not in caught.value.problem + caught.value.hint


@pytest.mark.parametrize(
    ("header", "cells", "options"),
    [
        ("User Email", IDS, ["User Id", "ignore"]),
        ("User Id", USERS_MAILS, ["User Email", "ignore"]),
        ("New Owner", PHONES, ["ignore"]),
        ("New Owner", NUMBERS, ["ignore"]),
    ],
)
def test_a_user_s_column_is_never_said_to_be_the_lead_s(header: str, cells: list[str], options: list[str]) -> None:
    with pytest.raises(SheetError) as caught:
        match(LEAD | {header: cells})
    assert re.findall(r'--map "[^"]+=([^"]+)"', caught.value.wrong) == options


def test_so_are_an_access_and_a_length_and_all_are_told_at_once() -> None:
    with pytest.raises(SheetError) as caught:
        match(LEAD | {"User Id": IDS, "Access": ["7d", "2 weeks", "7d"], "Until": USERS_MAILS, "Action": IDS})
    assert re.findall(r'--map "([^"]+)"', caught.value.wrong) == [
        "Access=Duration", "Access=ignore", "Until=ignore", "Action=ignore",
    ]  # fmt: skip


def test_a_mapping_is_contradicted_too() -> None:
    with pytest.raises(SheetError, match=r"column 'Kunde' holds Ids .* so it is not the Lead Email"):
        match({"Kunde": IDS, "User Id": IDS}, {"Kunde": "Lead Email"})


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("Lead Email", ["9810000019", "9810000020"]),
        ("Lead Email", [*PHONES, LEADS_MAILS[0]]),
        ("Lead Email", ["n/a", "-", "?", *PHONES[:1]]),
        ("Lead Number", ["9810000019"] * 3),
        ("Lead Phone", NUMBERS),
        ("New Owner", NAMES),
        ("Access", ["lesen"] * 3),
        ("Access", ["1", "2", "1"]),
        ("Until", ["46387", "46388", "46389"]),
        ("Note", LEADS_MAILS),
        ("Action", ["share", "revoke", ""]),
        ("mx_Custom_1", LEADS_MAILS),
    ],
)
def test_single_slips_names_and_other_languages_are_left_to_the_rows(header: str, cells: list[str]) -> None:
    least: Held = {} if header.startswith("Lead") else LEAD
    least = least if header == "New Owner" else least | {"User Id": IDS}
    rows = len(cells)
    padded = {name: [*held, *[""] * rows][:rows] for name, held in least.items()}
    assert header in taken(padded | {header: cells}).values() or header.startswith("mx_")


# ---------------------------------------------------------------------------- never a guess about people

CALLED_SO = {squeeze(f"{who} {end}".strip()) for who in INTENT for end in (
    "", "Id", "GUID", "Email", "Email Address", "Mail", "Mail Address", "Id Email Address",
)}  # fmt: skip
SOME_HEADERS = st.one_of(
    st.sampled_from([
        *STATES, *INTENT, "Lead Number", "Lead Email", "Mobile", "Kontakt E-Mail", "Neuer Betreuer", "Usr Emial",
        "New Ownr", "CreatedByEmailAddress", "User Name", "Team mate", "Access", "Zugriff", "Recipient",
    ]),
    st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=8),
)  # fmt: skip
SOME_CELLS = st.sampled_from([
    USERS_MAILS, LEADS_MAILS, IDS, NUMBERS, PHONES, NAMES, ["", "", ""], ["read", "write", "read"], ["7d"] * 3,
    ["2026-12-31"] * 3,
])  # fmt: skip


@given(
    held=st.dictionaries(SOME_HEADERS, SOME_CELLS, min_size=1, max_size=7),
    said=st.sampled_from([None, Field.USER_EMAIL, Field.USER_ID, Field.USER]),
)
def test_nobody_gets_a_lead_by_a_column_that_is_not_called_so_nor_mapped(held: Held, said: Field | None) -> None:
    mapping = {} if said is None else {next(iter(held)): str(said)}
    try:
        found = match(held, mapping)
    except SheetError:
        return
    for field, index in found.fields.items():
        header = [*held][index]
        if field in USERS:
            called = squeeze(header) in CALLED_SO or index in found.doubtful
            assert called if said is None else header in mapping
        if field is Field.LEAD_PHONE and not found.fields.keys() & {*LEADS[:3]}:
            open_ = [
                name for at, name in enumerate(held)
                if at in found.unread and held[name] in (USERS_MAILS, LEADS_MAILS) and not is_known(name)
            ]  # fmt: skip
            assert all(squeeze(name).startswith("createdby") for name in open_)


# ------------------------------------------------------------------------------------- people left unread


def reported(held: Held, mapping: dict[str, str] | None = None, users: tuple[str, ...] = ()) -> list[str]:
    return spell_unread([*held], match(held, mapping), users)


def test_a_column_of_addresses_or_ids_that_is_not_read_is_reported() -> None:
    held = LEAD | {"User Email": USERS_MAILS, "Team mate": LEADS_MAILS, "Made by": IDS, "City": NAMES}
    assert reported(held) == [
        "column 'Team mate' holds e-mail addresses and is not read",
        "column 'Made by' holds Ids and is not read",
    ]
    assert reported(held, {"Team mate": "ignore", "Made by": "mx_Custom_1"}) == []
    assert reported(held, users=(LEADS_MAILS[1], IDS[0])) == [
        "column 'Team mate' holds e-mail addresses of users and is not read",
        "column 'Made by' holds Ids of users and is not read",
    ]


@pytest.mark.parametrize("header", ["Email", "Contact E-mail", "OwnerIdEmailAddress", "Request Id", "mx_Custom_4"])
def test_one_whose_header_says_what_it_holds_is_not(header: str) -> None:
    assert reported({"Lead Id": IDS, "User Id": IDS, header: USERS_MAILS}) == []


def test_so_is_a_column_of_leads_addresses_where_they_are_looked_up_by_phone() -> None:
    phones = {"Mobile": ["9810000019", "9810000020", "9810000021"], "User Id": IDS}
    by_phone = {"Mobile": "Lead Phone"}
    for header in ("Kontakt", "Email"):
        assert reported(phones | {header: LEADS_MAILS}, by_phone) == [
            f"column {header!r} holds e-mail addresses and is not read: leads are looked up by 'Mobile'"
        ]
    assert reported(phones | {"Owner Email": LEADS_MAILS}, by_phone) == []


def test_so_is_one_of_accesses_unless_another_says_them() -> None:
    held = LEAD | {"User Id": IDS, "Zugriff": ["read", "write", "Read"]}
    assert reported(held) == ["column 'Zugriff' holds kinds of access (read, write) and is not read"]
    assert reported(held | {"Access": ["write"] * 3}) == []


# ------------------------------------------------------------------------------------------ dates left unread


@pytest.mark.parametrize(
    ("header", "cells", "beside", "meant"),
    [
        ("From", ["2 Dec 2095", "2/12/2095", ""], "Duration", Field.START),
        ("Start from", ["2095-12-02 10:00"], "Until", Field.START),
        ("Share to", ["2095-12-02"], "Access", Field.UNTIL),
        ("To", ["2095-12-02"], "Duration", None),
        ("From", ["2095-12-02"], "Start", None),
        ("From - To", ["2095-12-02"], "Access", None),
        ("Next call", ["2095-12-02"], "Duration", None),
    ],
)
def test_a_column_of_dates_to_come_that_is_not_read_is_known_with_what_it_may_be(
    header: str, cells: list[str], beside: str, meant: Field | None
) -> None:
    held = LEAD | {"User Id": IDS, beside: [""] * 3, header: [*cells, "", ""][:3]}
    assert match(held).dated == {len(held) - 1: meant}
    assert match(held, {header: "ignore"}).dated == {}


@pytest.mark.parametrize(
    "cells",
    [["1990-01-02", "1985-03-04", "2095-01-01"], ["46387", "46388"], ["20951231"], ["Pune", "2 Dec"], ["Pune"], []],
)
def test_one_of_birthdays_numbers_or_words_is_not(cells: list[str]) -> None:
    assert match(LEAD | {"User Id": IDS, "From": [*cells, "", "", ""][:3]}).dated == {}


# ------------------------------------------------------------------------------------------------- mapping


@pytest.mark.parametrize("name", ["Owner", "OwnerId", "Assigned To", "Owner Name"])
def test_a_mapping_does_not_name_the_user_by_who_has_the_lead_now(name: str) -> None:
    assert f"names no field: {name!r}" in refusal(["Lead Number", "Person"], {"Person": name})


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
