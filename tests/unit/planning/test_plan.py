"""The plan: keys that follow what a row asks for, duplicates named, a digest of all that gives rows meaning."""

from __future__ import annotations

import csv
import datetime as dt
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
import xlsxwriter
from directories import Everybody
from plans import make_plan

from batch_share.common import Order, Rate
from batch_share.errors import SettingsError, SheetError
from batch_share.ledger.records import CHOICE_FROM
from batch_share.ledger.states import State
from batch_share.planning.directory import Directory
from batch_share.planning.plan import SheetOptions, check_options
from batch_share.results.wording import spell_row
from batch_share.settings import Settings
from batch_share.sheet.mapping import SheetMapping
from batch_share.sheet.reader import ReadOptions, Sheet, read_sheet
from batch_share.sheet.rows import DEFAULT_NOTE, Selection, ShareRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from batch_share.ledger.records import NewRow
    from batch_share.planning.plan import Plan

    Write = Callable[..., Path]

HEADER = ["Lead Id", "Lead Number", "User Id", "Access", "Duration", "Note", "Activity Event", "City"]


def guid(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def cells(lead: int = 1, /, **changed: str) -> list[str]:
    """A good row for the lead, some of its cells changed."""
    usual = {"id": guid(lead), "number": str(lead), "user": guid(99), "access": "read", "duration": "7d"}
    return list((usual | {"note": "Hi", "event": "201", "city": "Pune"} | changed).values())


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(*rows: Sequence[str], header: Sequence[str] = HEADER, name: str = "leads.csv") -> Path:
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([header, *rows])
        return tmp_path / name

    return to_file


def planned(path: Path, job: str = "job", **options: Any) -> list[NewRow]:
    return list(make_plan(path, SheetOptions(), settings(**options)).rows(job, Everybody()))


def settings(**options: Any) -> Settings:
    """The settings as the options alone make them, wherever the tests run."""
    return Settings.model_construct(**options)


def keys(rows: Iterable[NewRow]) -> list[str]:
    return [row.key for row in rows]


# ---------------------------------------------------------------------------------------------------- rows


def test_a_row_is_planned_with_everything_it_asks_for_and_all_its_cells(write: Write) -> None:
    (row,) = planned(write(cells(5, access="write", city="Ölpe")))
    assert (row.sheet_row, row.state, spell_row(row), row.cells[-1]) == (2, State.PENDING, "", "Ölpe")
    asked = row.instruction
    assert asked is not None
    assert (asked.lead_id, asked.lead_number, asked.user_id) == (guid(5), "5", guid(99))
    assert (asked.access, asked.duration, asked.event, asked.note) == (2, 10080, 201, "Hi")


def test_a_row_that_cannot_be_sent_is_invalid_with_every_reason_and_the_others_go_on(write: Write) -> None:
    bad, short, good = planned(write(cells(1, id="x", duration="soon"), ["only one"], cells(2)))
    assert (bad.state, bad.instruction, bad.cells[0]) == (State.INVALID, None, "x")
    assert spell_row(bad) == (
        "Row 2, Lead Id 'x': not a GUID such as 0f8fad5b-d9cb-469f-a165-70867728950e; "
        "Row 2, Duration 'soon': 'soon' is no duration: write minutes, or 30m, 12h, 7d, 2w"
    )
    assert short.state is State.INVALID
    assert spell_row(short).startswith("Row 3: only 1 of 8 cells")
    assert (good.state, good.sheet_row) == (State.PENDING, 4)


def test_a_sheet_that_breaks_off_says_so_while_its_rows_are_read(tmp_path: Path, write: Write) -> None:
    path = write(cells(1))
    path.write_bytes(path.read_bytes() + b'"')
    rows = make_plan(path, SheetOptions(), settings()).rows("job", Everybody())
    assert next(rows).sheet_row == 2
    with pytest.raises(SheetError) as caught:
        next(rows)
    assert caught.value.row == 3


@pytest.mark.parametrize("selection", [Selection(), Selection(limit=3), Selection(ranges=((2, 5),))])
def test_a_sheet_of_headers_alone_is_refused_whatever_is_chosen(write: Write, selection: Selection) -> None:
    plan = make_plan(write([], [" "]), SheetOptions(selection=selection), settings())
    with pytest.raises(SheetError) as caught:
        plan.check_rows()
    assert caught.value.wrong == "the sheet is empty: no row with a lead stands below its headers"


def test_a_worksheet_of_headers_alone_is_refused_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "leads.xlsx"
    with xlsxwriter.Workbook(file) as book:
        book.add_worksheet("July").write_row(0, 0, HEADER)
    with pytest.raises(
        SheetError, match="the worksheet 'July' is empty: no row with a lead stands below its headers"
    ):
        make_plan(file, SheetOptions(), settings()).check_rows()


# ---------------------------------------------------------------------------------------------------- keys


def test_a_key_stays_when_rows_move_and_when_other_rows_are_fixed(write: Write) -> None:
    before = planned(write(cells(1), cells(2), cells(3, id="x")))
    after = planned(write(cells(7), cells(3, id="x"), [], cells(2), cells(1)))
    assert keys(after)[1:] == list(reversed(keys(before)))


@pytest.mark.parametrize("changed", [{"duration": "1d"}, {"note": "Bye"}, {"city": "Goa"}])
def test_a_key_stays_when_something_changes_that_makes_no_other_share(
    write: Write, changed: dict[str, str]
) -> None:
    assert keys(planned(write(cells()))) == keys(planned(write(cells(**changed))))


@pytest.mark.parametrize(
    "changed",
    [
        {"id": guid(1).upper()},
        {"id": guid(1).replace("-", "")},
        {"access": "1"},
        {"access": "READ"},
        {"event": "0201"},
    ],
)
def test_a_key_stays_when_the_same_is_spelled_otherwise(write: Write, changed: dict[str, str]) -> None:
    assert keys(planned(write(cells()))) == keys(planned(write(cells(**changed))))


@pytest.mark.parametrize(
    "changed", [{"id": guid(2)}, {"number": "2"}, {"user": guid(2)}, {"access": "write"}, {"event": "202"}]
)
def test_a_key_differs_where_another_share_is_asked_for(write: Write, changed: dict[str, str]) -> None:
    assert keys(planned(write(cells()))) != keys(planned(write(cells(**changed))))


def test_a_number_with_zeros_before_it_is_the_same_lead_s(write: Write) -> None:
    first, second = planned(write(cells(number="7"), cells(number="007")))
    assert (first.state, second.state) == (State.PENDING, State.SKIPPED)
    assert keys(planned(write(cells(number="7")))) == keys(planned(write(cells(number="007"))))


def test_a_key_differs_by_ledger(write: Write) -> None:
    path = write(cells())
    assert keys(planned(path, "one")) == keys(planned(path, "one")) != keys(planned(path, "two"))


def test_no_two_rows_of_a_sheet_have_the_same_key(write: Write) -> None:
    rows = planned(write(*[cells(1)] * 3, *[cells(1, id="x")] * 3, cells(2)))
    assert len(set(keys(rows))) == 7


def test_an_invalid_row_has_a_new_key_once_it_is_fixed(write: Write) -> None:
    assert keys(planned(write(cells(1, id="x")))) != keys(planned(write(cells(1))))


# ---------------------------------------------------------------------------------------------- duplicates


def test_a_duplicate_is_skipped_and_names_the_first_row(write: Write) -> None:
    same = cells(1, id=guid(1).upper(), duration="1d", note="Bye")
    rows = planned(write(cells(1), cells(2), same, cells(1)))
    assert [row.state for row in rows] == [State.PENDING, State.PENDING, State.SKIPPED, State.SKIPPED]
    assert {spell_row(row) for row in rows[2:]} == {"the same lead, user, access and activity as row 2"}
    assert rows[2].instruction is not None


def test_duplicates_are_sent_where_they_are_wanted(write: Write) -> None:
    path = write(cells(1), cells(1))
    allowed = planned(path, allow_duplicates=True)
    assert [row.state for row in allowed] == [State.PENDING, State.PENDING]
    assert keys(allowed) == keys(planned(path))


@pytest.mark.parametrize("changed", [{"user": guid(2)}, {"access": "write"}, {"event": "202"}])
def test_the_same_lead_for_another_user_access_or_activity_is_no_duplicate(
    write: Write, changed: dict[str, str]
) -> None:
    rows = planned(write(cells(1), cells(1, **changed)))
    assert [row.state for row in rows] == [State.PENDING, State.PENDING]


def test_two_rows_with_the_same_fault_are_both_invalid(write: Write) -> None:
    rows = planned(write(cells(1, id="x"), cells(1, id="x")))
    assert [row.state for row in rows] == [State.INVALID, State.INVALID]


# ----------------------------------------------------------------------------------------------- selection


def part(*ranges: tuple[int, int]) -> SheetOptions:
    return SheetOptions(selection=Selection(ranges=ranges))


def test_nobody_is_looked_up_for_a_row_that_is_left_out_or_can_not_be_sent(write: Write) -> None:
    path = write(cells(1), cells(2, id="x"), cells(3))
    seen = make_plan(path, part((2, 3)), settings()).first_look(Directory())
    assert [ref.value for ref in seen.unknown] == [guid(1), guid(99)]


def test_a_row_that_is_left_out_is_skipped_and_says_by_what(write: Write) -> None:
    first, second = make_plan(write(cells(1), cells(2)), part((3, 9)), settings()).rows("job", Everybody())
    assert (first.state, spell_row(first), first.cells[0]) == (State.SKIPPED, "left out by --rows 3-9", guid(1))
    assert second.state is State.PENDING


def test_a_row_that_is_left_out_keeps_its_key_once_its_lead_and_user_are_known(write: Write) -> None:
    path, known = write(cells(1), cells(2), cells(3, id="x")), Everybody()
    whole = list(make_plan(path, SheetOptions(), settings()).rows("job", known))
    rest = list(make_plan(path, part((3, 3)), settings()).rows("job", known))
    assert keys(rest) == keys(whole)
    assert [row.instruction for row in rest] == [row.instruction for row in whole]


def test_a_row_that_is_left_out_and_was_never_looked_up_asks_for_nothing(write: Write) -> None:
    path = write(cells(1), cells(2))
    rows = list(make_plan(path, part((9, 9)), settings()).rows("job", Directory()))
    assert [(row.state, row.instruction) for row in rows] == [(State.SKIPPED, None)] * 2


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(ranges=((900, 950),)), "--rows 900-950 chooses none of its 3 rows, which are numbered 2 to 4"),
        (Selection(only=(("City", "Rome"),)), "--only City=Rome chooses none of its 3 rows"),
        (
            Selection(limit=2, ranges=((2, 3),), only=(("City", "Rome"),)),
            "--limit 2 --rows 2-3 --only City=Rome chooses none of its 3 rows, which are numbered 2 to 4",
        ),
    ],
)
def test_a_selection_that_chooses_no_row_is_reported(write: Write, selection: Selection, words: str) -> None:
    plan = make_plan(write(*map(cells, range(1, 4))), SheetOptions(selection=selection), settings())
    with pytest.raises(SheetError) as reported:
        plan.check_rows()
    assert str(reported.value) == f"leads.csv: {words}"


@pytest.mark.parametrize(
    "selection", [Selection(), Selection(ranges=((4, 9),)), Selection(only=(("City", "pune"),))]
)
def test_a_selection_that_chooses_some_row_is_none_to_be_named(write: Write, selection: Selection) -> None:
    make_plan(write(*map(cells, range(1, 4))), SheetOptions(selection=selection), settings()).check_rows()


# ------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("named", ["Asia/Atlantis", "../etc/passwd", "Asia", "a\0b"])
def test_a_time_zone_that_nobody_knows_is_reported(write: Write, named: str) -> None:
    with pytest.raises(SettingsError, match="timezone: not the name of a time zone, such as Asia/Kolkata"):
        make_plan(write(cells()), SheetOptions(), settings(timezone=named))


@pytest.mark.parametrize(
    ("options", "zone", "hour"),
    [({}, None, 18), ({}, "Asia/Kolkata", 12), ({"timezone": "Europe/Berlin"}, "Asia/Kolkata", 16)],
)
def test_a_date_is_in_the_named_zone_else_in_the_accounts_else_in_utc(
    write: Write, options: dict[str, str], zone: str | None, hour: int
) -> None:
    header = [{"Duration": "Until"}.get(name, name) for name in HEADER]
    path = write(cells(duration="2095-06-30 18:00"), header=header)
    plan = make_plan(path, SheetOptions(), settings(**options), zone=ZoneInfo(zone) if zone else None)
    (checked,) = plan.checked()
    assert isinstance(checked.asked, ShareRow)
    assert checked.asked.until is not None
    assert checked.asked.until.hour == hour


def test_a_column_in_the_place_of_the_marker_is_refused(write: Write) -> None:
    path = write([*cells(), "x"], header=[*HEADER, "mx_Custom_7"])
    with pytest.raises(SettingsError, match="marker_field: the sheet has a column for mx_Custom_7"):
        make_plan(path, SheetOptions(), settings(marker_field="mx_Custom_7"))
    assert make_plan(path, SheetOptions(), settings(marker_field="mx_Custom_8"))


def test_a_sheet_that_goes_away_while_it_is_planned_is_reported(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_then_lose(path: Path, options: ReadOptions) -> Sheet:
        sheet = read_sheet(path, options)
        path.unlink()
        return sheet

    monkeypatch.setattr("plans.read_sheet", read_then_lose)
    with pytest.raises(SheetError, match=r"leads\.csv: can't be read \(No such file or directory\)"):
        make_plan(write(cells()), SheetOptions(), settings())


@pytest.mark.parametrize("options", [{}, {"note": "  ", "access": ""}])
def test_access_and_note_have_defaults(write: Write, options: dict[str, str]) -> None:
    (row,) = planned(write(cells(access="", note="")), **options)
    assert row.instruction is not None
    assert (row.instruction.access, row.instruction.note) == (1, DEFAULT_NOTE)


def test_options_fill_blank_cells_and_missing_columns(write: Write) -> None:
    options = {"access": "write", "duration": "1h", "note": "All", "event": "300"}
    blank, without = write(cells(access="", duration="", note="", event="")), [guid(1), "1", guid(99)]
    for path in (blank, write(without, header=HEADER[:3], name="other.csv")):
        (row,) = planned(path, **options)
        asked = row.instruction
        assert asked is not None
        assert (asked.access, asked.duration, asked.note, asked.event) == (2, 60, "All", 300)


@pytest.mark.parametrize(("column", "flag"), [("Duration", "--duration"), ("Activity Event", "--event")])
def test_a_field_that_nobody_gives_is_reported_with_the_option_for_it(write: Write, column: str, flag: str) -> None:
    header = [name for name in HEADER if name != column]
    row = [cell for name, cell in zip(HEADER, cells(), strict=True) if name != column]
    with pytest.raises(SheetError) as caught:
        make_plan(write(row, header=header), SheetOptions(), settings())
    assert f"no column for {column}" in caught.value.wrong
    assert flag in caught.value.wrong


@pytest.mark.parametrize(
    ("cell", "lasting"),
    [
        ({"duration": ""}, dt.datetime(2095, 6, 30, 23, 59, tzinfo=dt.UTC)),
        ({"duration": "2h"}, 120),
    ],
)
def test_an_end_for_all_rows_is_for_those_that_say_none(
    write: Write, cell: dict[str, str], lasting: dt.datetime | int
) -> None:
    plan = make_plan(write(cells(**cell)), SheetOptions(), settings(duration="", until="30.06.2095"))
    assert plan.needs_zone
    (checked,) = plan.checked()
    assert isinstance(checked.asked, ShareRow)
    assert (checked.asked.until or checked.asked.duration) == lasting


def test_how_dates_are_read_is_of_the_digest_however_it_is_known(write: Write) -> None:
    header = [{"Duration": "Until"}.get(name, name) for name in HEADER]
    path = write(cells(duration="03/04/2095"), header=header)
    first, second = (make_plan(path, SheetOptions(), settings(dates=order)).record.digest for order in Order)
    assert first != second
    assert (
        make_plan(path, SheetOptions(ReadOptions(mapping=SheetMapping(dates=Order.DMY))), settings()).record.digest
        == first
    )
    assert make_plan(path, SheetOptions(), settings(), before={"Until": Order.MDY}).record.digest == second
    with pytest.raises(SheetError, match="leaves open"):
        make_plan(path, SheetOptions(), settings())


def test_a_length_and_an_end_for_all_rows_are_refused_together(write: Write) -> None:
    with pytest.raises(SettingsError, match="until: the duration is set too, which says how long already"):
        make_plan(write(cells()), SheetOptions(), settings(until="2095-12-31", duration="7d"))


SENSELESS = [("access", "3"), ("duration", "soon"), ("event", "0"), ("note", "<b>")]


@pytest.mark.parametrize(("name", "value"), SENSELESS)
def test_an_option_that_makes_no_sense_is_reported_before_any_row(write: Write, name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make_plan(write(cells()), SheetOptions(), settings(**{name: value}))
    assert caught.value.setting == name


@pytest.mark.parametrize(("name", "value"), [*SENSELESS, ("timezone", "Asia/Atlantis")])
def test_an_option_that_makes_no_sense_is_reported_before_there_is_a_sheet(name: str, value: str) -> None:
    good = {"access": "write", "duration": "7d", "event": "201", "note": "Hi", "timezone": "Asia/Kolkata"}
    check_options(settings(**good))
    with pytest.raises(SettingsError) as caught:
        check_options(settings(**good | {name: value}))
    assert caught.value.setting == name


# -------------------------------------------------------------------------------------------------- digest


def on(worksheet: str | None) -> SheetOptions:
    return SheetOptions(ReadOptions(worksheet=worksheet))


def digest(path: Path, worksheet: str | None = None, **options: Any) -> str:
    return make_plan(path, on(worksheet), settings(**options)).record.digest


def test_the_digest_is_the_same_for_the_same_file_wherever_it_lies(write: Write, tmp_path: Path) -> None:
    path = write(cells())
    moved = tmp_path / "moved" / "renamed.csv"
    moved.parent.mkdir()
    moved.write_bytes(path.read_bytes())
    assert digest(path) == digest(path) == digest(moved)


@pytest.mark.parametrize("changed", [b" ", b"\n"])
def test_the_digest_changes_with_every_byte(write: Write, changed: bytes) -> None:
    path = write(cells())
    before = digest(path)
    path.write_bytes(path.read_bytes() + changed)
    assert digest(path) != before


@pytest.mark.parametrize(
    "options",
    [{"access": "write"}, {"duration": "1h"}, {"note": "All"}, {"event": "300"}, {"allow_duplicates": True}],
)
def test_the_digest_changes_with_each_option_that_gives_rows_meaning(write: Write, options: dict[str, Any]) -> None:
    path = write(cells())
    assert digest(path, **options) != digest(path)


def test_the_digest_changes_with_an_end_for_all_rows_and_not_with_how_it_is_written(write: Write) -> None:
    path = write(cells())
    first, same, other = (
        digest(path, duration="", until=until) for until in ("2095-12-31", "31/12/2095", "2095-12-30")
    )
    assert first == same != other


@pytest.mark.parametrize(
    "options",
    [
        {"rate": Rate(20, 5.0)},
        {"wait": 1.0},
        {"workers": 3},
        {"follow_up": False},
        {"trust_owner": True},
        {"host": "https://x.example"},
        {"access": "read"},  # which is the default
        {"note": DEFAULT_NOTE},
    ],
)
def test_the_digest_stays_with_every_other_option(write: Write, options: dict[str, Any]) -> None:
    path = write(cells())
    assert digest(path, **options) == digest(path)


def test_another_choice_of_rows_is_another_digest_of_the_same_meaning(write: Write) -> None:
    path = write(*map(cells, range(1, 4)))
    whole, some = (make_plan(path, options, settings()).record for options in (SheetOptions(), part((2, 3))))
    assert whole.digest != some.digest
    assert whole.digest[:CHOICE_FROM] == some.digest[:CHOICE_FROM]
    assert len(whole.digest) == 64
    other = make_plan(path, part((2, 3)), settings(note="All")).record
    assert whole.digest[:CHOICE_FROM] != other.digest[:CHOICE_FROM]


def workbook(folder: Path) -> Path:
    path = folder / "leads.xlsx"
    with xlsxwriter.Workbook(path) as book:
        for name in ("One", "Two"):
            page = book.add_worksheet(name)
            page.write_row(0, 0, HEADER)
            page.write_row(1, 0, cells())
    return path


def test_the_digest_changes_with_the_encoding_that_is_named_by_whatever_name(write: Write) -> None:
    path = write("Lead Number,User Email,Note\n1,a@x.com,Müller\n")

    def named(encoding: str | None) -> str:
        return make_plan(path, SheetOptions(ReadOptions(encoding=encoding)), settings()).record.digest

    assert named("cp1252") == named("Windows-1252")
    assert len({named(None), named("cp1252"), named("cp850")}) == 3


def test_the_digest_changes_with_the_worksheet_and_the_first_need_not_be_named(tmp_path: Path) -> None:
    path = workbook(tmp_path)
    assert digest(path) == digest(path, "One") != digest(path, "Two")


def test_the_record_names_the_sheet(tmp_path: Path) -> None:
    plan: Plan = make_plan(workbook(tmp_path), on("Two"), settings())
    record = plan.record
    assert (record.name, record.worksheet, record.columns) == ("leads.xlsx", "Two", HEADER)
    assert record.path == str(tmp_path / "leads.xlsx")


def test_a_workbook_and_a_csv_with_the_same_rows_have_the_same_keys(tmp_path: Path, write: Write) -> None:
    assert keys(planned(workbook(tmp_path))) == keys(planned(write(cells())))


# ---------------------------------------------------------------------------------------------------- actions


def acting(write: Write, *rows: Sequence[str]) -> list[NewRow]:
    """The plan of rows whose last cell is what is to be done."""
    return planned(write(*rows, header=[*HEADER, "Action"]))


def test_a_row_that_shares_has_the_key_that_it_had_without_the_column(write: Write) -> None:
    assert keys(acting(write, [*cells(), "share"])) == keys(planned(write(cells())))


def test_each_action_is_a_row_of_its_own_and_the_same_twice_is_a_repetition(write: Write) -> None:
    asked = (1, ""), (2, "revoke"), (3, "reassign"), (2, "Revoke"), (3, "reassign")
    rows = acting(write, *([*cells(lead), action] for lead, action in asked))
    assert len(set(keys(rows))) == 5
    assert [row.state for row in rows] == [State.PENDING] * 3 + [State.SKIPPED] * 2
    assert spell_row(rows[3]) == "the same lead, user, access and activity as row 3"
    one_lead = keys(acting(write, *([*cells(), action] for action in ("", "revoke", "reassign"))))
    assert len(set(one_lead)) == 3


OTHER_USER = guid(98)


@pytest.mark.parametrize(
    ("first", "second", "user", "is_one_meant"),
    [
        ("reassign", "reassign", OTHER_USER, True),
        ("reassign", "share", guid(99), True),
        ("reassign", "share", OTHER_USER, True),
        ("revoke", "share", guid(99), True),
        ("reassign", "revoke", guid(99), True),
        ("revoke", "share", OTHER_USER, False),
        ("revoke", "reassign", OTHER_USER, False),
        ("revoke", "revoke", OTHER_USER, False),
        ("share", "share", OTHER_USER, False),
    ],
)
def test_rows_of_which_only_one_can_be_meant_are_both_refused(
    write: Write, first: str, second: str, user: str, is_one_meant: bool
) -> None:
    one, two = [*cells(), first], [*cells(user=user), second]
    for rows in (acting(write, one, two, [*cells(2), first]), acting(write, two, one, [*cells(2), first])):
        states = [State.INVALID if is_one_meant else State.PENDING] * 2 + [State.PENDING]
        assert [row.state for row in rows] == states
    if is_one_meant:
        how = "to another user" if first == second else f"and this one says {second}"
        reported = f"Row 2: row 3 says {first} for the same lead, {how}: keep only the one you mean"
        assert spell_row(rows[0]) == reported


def test_a_row_that_is_left_out_contradicts_nobody(write: Write) -> None:
    sheet = write([*cells(), "reassign"], [*cells(), "share"], header=[*HEADER, "Action"])
    rows = list(make_plan(sheet, part((2, 2)), settings()).rows("job", Everybody()))
    assert [row.state for row in rows] == [State.PENDING, State.SKIPPED]


def test_a_sheet_that_takes_back_needs_no_length_and_no_activity(write: Write) -> None:
    header = ["Lead Id", "User Id", "Action"]
    rows = planned(write([guid(1), guid(99), "revoke"], [guid(2), guid(99), "share"], header=header))
    assert [row.state for row in rows] == [State.PENDING, State.INVALID]
    assert spell_row(rows[1]) == "Row 3, Duration: blank; Row 3, Activity Event: blank"
