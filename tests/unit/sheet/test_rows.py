"""Checking a row: canonical values, or everything that is wrong with it."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from batch_share.common import Action, Cause
from batch_share.sheet.columns import LASTING, Columns, Field
from batch_share.sheet.rows import Problem, Ref, RowRules, ShareRow, parse_user
from batch_share.sheet.table import FAULTS, RawRow
from batch_share.sheet.values import CUSTOM_LIMIT, NOTE_LIMIT

NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
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
    """Row 7 of a sheet, headers in capitals, some cells changed or more of them there."""
    cells = GOOD | changed
    found = Columns({field: n for n, field in enumerate(cells)}, {})
    rules = RowRules([field.upper() for field in cells], found, defaults or {}, now=NOON)
    return rules.check(RawRow(7, [*cells.values()]))


def said(row: ShareRow, name: str) -> object:
    """What a row says of this name, be it the lead's or the user's."""
    refs = {ref.field.name.lower(): ref.value for ref in (*row.leads, *row.users)}
    return refs[name] if name in refs else getattr(row, name)


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
    assert said(good({field: text}), name) == value


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
    (Field.LEAD_NUMBER, "869196.5", "digits only"),
    (Field.LEAD_NUMBER, "869.000", "digits only"),
    (Field.LEAD_NUMBER, "1234567890123456.0", "digits only"),
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
    (Field.EVENT, "-", "not the code of an activity type"),
    (Field.EVENT, "Visit" * 50, "not the code of an activity type"),
    (Field.EVENT, "Site\u200bvisit", "holds an unseen character"),
    (Field.NOTE, "x" * (NOTE_LIMIT + 1), f"{NOTE_LIMIT + 1} characters"),
    (Field.NOTE, "<b>Hi</b>", "looks like markup"),
    (Field.NOTE, "<!-- -->", "looks like markup"),
]


KINDS = {
    (Field.EVENT, "not the code of an activity type"): Cause.NO_TYPE,
    (Field.NOTE, f"{NOTE_LIMIT + 1} characters"): Cause.TOO_LONG,
    (Field.NOTE, "looks like markup"): Cause.MARKUP,
}
"""Of which kind a bad value is, where something else than to correct it is to be advised."""


@pytest.mark.parametrize(("field", "value", "wrong"), BAD)
def test_a_bad_value_is_reported_with_row_column_value_and_what_is_wrong(
    field: Field, value: str, wrong: str
) -> None:
    (problem,) = problems({field: value})
    assert (problem.row, problem.column, problem.value) == (7, field.upper(), value)
    assert wrong in problem.text
    assert problem.cause is KINDS.get((field, wrong), Cause.INVALID)
    assert "Value error" not in problem.text


@pytest.mark.parametrize("field", [Field.USER_ID, Field.ACCESS, Field.DURATION, Field.NOTE, Field.EVENT])
@pytest.mark.parametrize("blank", ["", "  ", "\u00a0"])
def test_a_blank_value_without_a_default_is_blank_and_nothing_else(field: Field, blank: str) -> None:
    cause = Cause.NO_TYPE if field is Field.EVENT else Cause.INVALID
    assert problems({field: blank}) == [Problem(7, field.upper(), "", "blank", cause)]


def test_a_lead_must_be_named_in_one_way_at_least() -> None:
    assert good({Field.LEAD_ID: ""}).leads == (Ref(Field.LEAD_NUMBER, "869196"),)
    assert good({Field.LEAD_NUMBER: ""}).leads == (Ref(Field.LEAD_ID, GUID),)
    assert problems({Field.LEAD_ID: "", Field.LEAD_NUMBER: ""}) == [Problem(7, "LEAD ID", "", "blank")]


def test_everything_that_is_wrong_with_a_row_is_reported_at_once() -> None:
    wrong = {Field.LEAD_ID: "x", Field.USER_ID: "", Field.DURATION: "soon"}
    assert [problem.column for problem in problems(wrong)] == ["LEAD ID", "USER ID", "DURATION"]


def test_a_row_whose_cells_may_be_shifted_is_not_read_further() -> None:
    rules = RowRules(["A"], Columns({Field.LEAD_ID: 0}, {}), {})
    assert rules.check(RawRow(3, ["x", "y"], "2 cells for 1 headers")) == [
        Problem(3, "", "", "2 cells for 1 headers", Cause.SHIFTED)
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
    row = RowRules(list(fields), Columns(fields, {}), DEFAULTS).check(RawRow(2, [GUID, "1", GUID]))
    assert isinstance(row, ShareRow)
    assert (row.access, row.duration, row.event, row.note) == (1, 60, 300, "From the option")


def test_a_field_without_column_and_option_is_named_by_its_usual_header() -> None:
    fields = {Field.LEAD_ID: 0, Field.LEAD_NUMBER: 1, Field.USER_ID: 2}
    rules = RowRules(["a", "b", "c"], Columns(fields, {}), {Field.ACCESS: "read", Field.NOTE: "n"})
    found = rules.check(RawRow(2, [GUID, "1", GUID]))
    assert found == [Problem(2, "Duration", "", "blank"), Problem(2, "Activity Event", "", "blank", Cause.NO_TYPE)]


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


@pytest.mark.parametrize(
    ("field", "text", "ref"),
    [
        (Field.LEAD_EMAIL, "Asha@Example.com", Ref(Field.LEAD_EMAIL, "asha@example.com")),
        (Field.LEAD_PHONE, "+91-98 1000 0019", Ref(Field.LEAD_PHONE, "+91-98 1000 0019")),
    ],
)
def test_a_lead_may_be_named_by_address_or_phone(field: Field, text: str, ref: Ref) -> None:
    assert good({Field.LEAD_ID: "", Field.LEAD_NUMBER: "", field: text}).leads == (ref,)


@pytest.mark.parametrize(
    ("text", "ref"),
    [("Asha@Example.com", Ref(Field.USER_EMAIL, "asha@example.com")), (GUID.upper(), Ref(Field.USER_ID, GUID))],
)
def test_a_sales_user_may_be_an_address_or_an_id(text: str, ref: Ref) -> None:
    assert good({Field.USER_ID: "", Field.USER: text}).users == (ref,)


OTHER_ID = GUID.replace("0", "1")


@pytest.mark.parametrize(
    ("user", "named", "wrong"),
    [
        ("a@x.com", "", None),
        ("a@x.com", "Asha Rao", None),
        ("a@x.com", "A@x.com", None),
        ("a@x.com", "b@x.com", "names somebody else than USER 'a@x.com': correct one of them, or leave this blank"),
        (GUID, GUID.upper(), None),
        (GUID, OTHER_ID, f"names somebody else than USER '{GUID}': correct one of them, or leave this blank"),
        ("", "b@x.com", "blank"),
    ],
)
def test_a_column_beside_the_users_that_is_called_so_too_names_nobody_else(
    user: str, named: str, wrong: str | None
) -> None:
    found = Columns({Field.LEAD_ID: 0, Field.USER: 1}, {}, others=(2,))
    defaults = {Field.DURATION: "7d", Field.ACCESS: "read", Field.EVENT: "201", Field.NOTE: "x"}
    asked = RowRules(["LEAD", "USER", "NAME"], found, defaults).check(RawRow(2, [GUID, user, named]))
    if wrong is not None:
        column, value = ("USER", "") if wrong == "blank" else ("NAME", named)
        assert asked == [Problem(2, column, value, wrong)]
    else:
        assert isinstance(asked, ShareRow)
        assert asked.users == (parse_user(user),)


def test_an_address_beside_an_id_is_looked_at_once_its_user_is_known() -> None:
    found = Columns({Field.LEAD_ID: 0, Field.USER_ID: 1}, {}, others=(2,))
    defaults = {Field.DURATION: "7d", Field.ACCESS: "read", Field.EVENT: "201", Field.NOTE: "x"}
    asked = RowRules(["LEAD", "USER", "NAME"], found, defaults).check(RawRow(2, [GUID, GUID, "b@x.com"]))
    assert isinstance(asked, ShareRow)
    assert asked.users == (Ref(Field.USER_ID, GUID), Ref(Field.USER_EMAIL, "b@x.com"))


@pytest.mark.parametrize(
    ("field", "text", "wrong"),
    [
        (Field.LEAD_EMAIL, "asha", "not an e-mail address"),
        (Field.LEAD_EMAIL, "a@x.com; b@x.com", "not an e-mail address"),
        (Field.LEAD_PHONE, "none", "not a phone number"),
        (Field.LEAD_PHONE, "9.19810000019E+11", "last digits are lost"),
        (Field.USER_EMAIL, "Asha Rao", "not an e-mail address"),
        (Field.USER_EMAIL, "Asha Rao", "asha@example.com: a name does not say which user it is"),
        (Field.USER_ID, "Asha Rao", "70867728950e: a name does not say which user it is"),
        (Field.USER, "Asha Rao", "neither an e-mail address nor a GUID: a name does not say which user it is"),
    ],
)
def test_a_name_that_names_nobody_is_reported(field: Field, text: str, wrong: str) -> None:
    (problem,) = problems({field: text})
    assert (problem.column, problem.value) == (field.upper(), text)
    assert wrong in problem.text


@pytest.mark.parametrize(("text", "minutes"), [("7", 10080), ("1.5", 2160), ("2 days", 2880), ("30d", 43200)])
def test_days_are_minutes(text: str, minutes: int) -> None:
    assert good({Field.DURATION: "", Field.DAYS: text}).duration == minutes


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-12-31", "2026-12-31T18:29"),
        ("2026-12-31 18:00", "2026-12-31T12:30"),
        ("2026-12-31T18:00:00Z", "2026-12-31T18:00"),
        ("2026-12-31T18:00:00+02:00", "2026-12-31T16:00"),
        ("2036-01-09", "2036-01-09T18:29"),  # as long as a duration may be
    ],
)
def test_an_end_is_in_the_zone_given_unless_it_names_its_own(text: str, utc: str) -> None:
    found = Columns({Field.LEAD_NUMBER: 0, Field.USER_ID: 1, Field.UNTIL: 2}, {})
    rules = RowRules(["a", "b", "c"], found, DEFAULTS, ZoneInfo("Asia/Kolkata"), NOON)
    row = rules.check(RawRow(2, ["1", GUID, text]))
    assert isinstance(row, ShareRow)
    assert row.duration is None
    assert row.until is not None
    assert f"{row.until:%Y-%m-%dT%H:%M}" == utc


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("2036-01-11", "is more than ten years away"),
        ("31/13/2026", "not a date"),
        ("03/04/2026", "3 April 2026 or 4 March 2026? Write 2026-04-03 or 2026-03-04, or say --dates dmy or mdy"),
        ("soon", "not a date"),
    ],
)
def test_an_end_that_is_none_is_reported(text: str, wrong: str) -> None:
    (problem,) = problems({Field.DURATION: "", Field.UNTIL: text})
    assert (problem.column, problem.value) == ("UNTIL", text)
    assert wrong in problem.text


def test_an_end_that_is_over_is_reported_beside_what_the_row_was() -> None:
    text = "2026-01-02 11:59Z"
    over = Problem(7, "UNTIL", text, "is over already", Cause.OVER)
    asked = good({Field.DURATION: "", Field.UNTIL: text})
    assert (asked.over, f"{asked.until:%H:%M}") == (over, "11:59")
    wrong = problems({Field.DURATION: "", Field.UNTIL: text, Field.ACCESS: "some"})
    assert [each.column for each in wrong] == ["UNTIL", "ACCESS"]
    assert wrong[0] == over


def test_only_one_column_may_say_how_long() -> None:
    (problem,) = problems({Field.DAYS: "7"})
    assert problem == Problem(7, "DAYS", "7", "Duration says how long already: leave one of them blank")


def with_custom(text: str) -> ShareRow | list[Problem]:
    found = Columns({Field.LEAD_NUMBER: 0, Field.USER_ID: 1}, {"mx_Custom_1": 2})
    return RowRules(["a", "b", "Region"], found, DEFAULTS).check(RawRow(2, ["1", GUID, text]))


def test_custom_fields_go_along_where_they_are_filled() -> None:
    assert [row.custom for text in ("north", " ") if isinstance(row := with_custom(text), ShareRow)] == [
        {"mx_Custom_1": "north"},
        {},
    ]
    assert with_custom("x" * (CUSTOM_LIMIT + 1)) == [
        Problem(2, "Region", "x" * 201, "201 characters; LeadSquared keeps 200", Cause.TOO_LONG)
    ]


def test_a_cell_that_could_not_be_read_is_told_where_it_matters() -> None:
    found = Columns({Field.LEAD_NUMBER: 0, Field.USER_ID: 1, Field.DURATION: 2}, {})
    rules = RowRules(["a", "b", "c", "d"], found, DEFAULTS)
    for fault, words in FAULTS.items():
        row = RawRow(2, ["1", GUID, "", ""], faults={2: fault, 3: fault})
        assert rules.check(row) == [Problem(2, "c", "", words, fault)]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-12-31", "2026-12-31T00:00"),
        ("2026-12-31 18:00", "2026-12-31T18:00"),
        ("2026-12-31T18:00:00+05:30", "2026-12-31T12:30"),
        ("2020-01-01", "2020-01-01T00:00"),
    ],
)
def test_a_row_may_start_later(text: str, utc: str) -> None:
    row = good({Field.START: text})
    assert row.start is not None
    assert f"{row.start:%Y-%m-%dT%H:%M}" == utc
    assert row.duration == 7 * 1440


def test_a_row_that_says_nothing_starts_at_once() -> None:
    assert good({Field.START: ""}).start is None
    assert good({}).start is None


def test_an_end_that_is_not_after_its_start_is_wrong() -> None:
    ends = {Field.DURATION: "", Field.UNTIL: "2026-06-01 10:00"}
    assert good(ends | {Field.START: "2026-06-01 09:59"}).until is not None
    for start in ("2026-06-01 10:00", "2026-06-02"):
        assert problems(ends | {Field.START: start}) == [
            Problem(7, "UNTIL", "2026-06-01 10:00", "is not after START")
        ]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("soon", "not a date: write 2026-12-31, or 2026-12-31 18:00"),
        ("2046-01-01", "is more than ten years away"),
    ],
)
def test_a_start_that_is_none_is_reported(text: str, wrong: str) -> None:
    cause = Cause.TOO_FAR if "ten years" in wrong else Cause.INVALID
    assert problems({Field.START: text}) == [Problem(7, "START", text, wrong, cause)]


# ---------------------------------------------------------------------------------------------------- actions


@pytest.mark.parametrize(
    ("text", "action"),
    [("", Action.SHARE), ("Share", Action.SHARE), (" revoke ", Action.REVOKE), ("REASSIGN", Action.REASSIGN)],
)
def test_a_row_may_say_what_is_to_be_done(text: str, action: Action) -> None:
    assert good({Field.ACTION: text}).action is action


def test_an_action_that_is_none_is_reported() -> None:
    (problem,) = problems({Field.ACTION: "lend"})
    assert str(problem).startswith("Row 7, ACTION 'lend': not an action: write share, revoke ")


def test_what_a_share_needs_is_not_read_where_there_is_none() -> None:
    later = "2026-02-01 10:00"
    blank = {Field.ACCESS: "", Field.DURATION: "for ever", Field.EVENT: "?", Field.NOTE: "<b>"}
    row = good(blank | {Field.ACTION: "revoke", Field.START: later, Field.UNTIL: "2020-01-01"})
    assert (row.access, row.duration, row.until, row.event, row.note) == (0, 0, None, 0, "")
    assert row.start == dt.datetime(2026, 2, 1, 10, tzinfo=dt.UTC)


def test_whom_it_is_taken_from_and_when_is_read() -> None:
    changed = {Field.ACTION: "revoke", Field.USER_ID: "Asha", Field.START: "soon"}
    assert [problem.column for problem in problems(changed)] == ["USER ID", "START"]


@pytest.mark.parametrize(
    ("headers", "reported"),
    [
        ({Field.UNTIL: "End Date"}, ", End Date: blank"),
        ({Field.DURATION: "Minutes", Field.UNTIL: "End Date"}, ", Minutes or End Date: blank"),
        (
            {Field.DURATION: "Minutes", Field.DAYS: "Days", Field.UNTIL: "End Date"},
            ", Minutes, Days or End Date: blank",
        ),
        ({}, ", Duration: blank"),
    ],
)
def test_how_long_is_missed_in_the_columns_that_the_sheet_has(headers: dict[Field, str], reported: str) -> None:
    cells = {field: value for field, value in GOOD.items() if field is not Field.DURATION} | dict.fromkeys(
        headers, ""
    )
    columns = [headers.get(field, str(field)) for field in cells]
    rules = RowRules(columns, Columns({field: n for n, field in enumerate(cells)}, {}), {}, now=NOON)
    (problem,) = rules.check(RawRow(7, [*cells.values()]))  # type: ignore[misc]
    assert str(problem) == f"Row 7{reported}"


# ------------------------------------------------------------------------------ words of another language

WORDS = {
    "lesen": "read",
    "nur lesen": "read",
    "entziehen": "revoke",
    "wochen": "weeks",
    "tage": "day",
    "quartal": "90d",
}


def in_words(field: Field, text: str) -> ShareRow | list[Problem]:
    cells = {each: value for each, value in GOOD.items() if each is not Field.DURATION or field not in LASTING}
    cells |= {field: text}
    found = Columns({each: at for at, each in enumerate(cells)}, {})
    return RowRules([*cells], found, {}, now=NOON, words=WORDS).check(RawRow(7, [*cells.values()]))


@pytest.mark.parametrize(
    ("field", "text", "name", "value"),
    [
        (Field.ACCESS, "Lesen", "access", 1),
        (Field.ACCESS, "nur  LESEN", "access", 1),
        (Field.ACCESS, "write", "access", 2),
        (Field.ACTION, "Entziehen", "action", Action.REVOKE),
        (Field.DURATION, "3 Wochen", "duration", 3 * 7 * 1440),
        (Field.DURATION, "10Tage", "duration", 14400),
        (Field.DURATION, "Quartal", "duration", 90 * 1440),
        (Field.DAYS, "2 wochen", "duration", 14 * 1440),
        (Field.NOTE, "lesen", "note", "lesen"),
    ],
)
def test_a_word_is_read_as_what_it_was_said_to_mean(field: Field, text: str, name: str, value: object) -> None:
    row = in_words(field, text)
    assert isinstance(row, ShareRow)
    assert getattr(row, name) == value


@pytest.mark.parametrize(
    ("field", "text", "wrong"),
    [
        (Field.ACCESS, "nicht lesen", "not an access"),
        (Field.ACCESS, "schreiben", "not an access"),
        (Field.ACCESS, "entziehen", "not an access"),
        (Field.ACTION, "lesen", "not an action"),
        (Field.DURATION, "drei Wochen", "is no duration"),
        (Field.DURATION, "1,5 Wochen", "is no duration"),
    ],
)
def test_what_was_said_of_no_word_is_refused_with_the_cell_as_it_is(field: Field, text: str, wrong: str) -> None:
    found = in_words(field, text)
    assert isinstance(found, list)
    ((problem),) = found
    assert (problem.value, wrong in problem.text) == (text, True)
