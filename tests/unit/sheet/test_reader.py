"""Reading sheets: every cell arrives as written, every row under the number that a spreadsheet shows."""

from __future__ import annotations

import csv
import datetime as dt
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import xlsxwriter
from hypothesis import example, given
from hypothesis import strategies as st

from batch_share.errors import SheetError
from batch_share.sheet.columns import Columns
from batch_share.sheet.reader import FORMULA_STARTS, ReadOptions, Sheet, guarded, read_sheet
from batch_share.sheet.values import parse_lead_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

AS_WRITTEN = [
    "00123",
    "1e5",
    "NA",
    "NaN",
    "null",
    "TRUE",
    "+919876543210",
    "12345678901234567890",
    "1.0",
    "=1+1",
    " x ",
]


@pytest.fixture(autouse=True)
def any_header_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the columns hold is test_columns' matter: here, a table of one column is a sheet."""
    monkeypatch.setattr("batch_share.sheet.reader.match_columns", lambda *_: Columns({}, {}))


@pytest.fixture
def csv_file(tmp_path: Path) -> Callable[[bytes], Path]:
    def make(content: bytes) -> Path:
        file = tmp_path / "leads.csv"
        file.write_bytes(content)
        return file

    return make


def workbook(folder: Path, *tables: Sequence[Sequence[Any]]) -> Path:
    """A workbook with worksheets One, Two, …; text cells are written as text, the others by their type."""
    file = folder / "leads.xlsx"
    with xlsxwriter.Workbook(file, {"strings_to_formulas": False, "strings_to_numbers": False}) as book:
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        for name, table in zip(["One", "Two"], tables, strict=False):
            page = book.add_worksheet(name)
            for number, cells in enumerate(table):
                for column, cell in enumerate(cells):
                    shape = day if isinstance(cell, dt.date | dt.time) else None
                    page.write(number, column, cell, shape)
    return file


def numbers(sheet: Sheet) -> list[int]:
    return [row.number for row in sheet.rows()]


def cells(sheet: Sheet) -> list[list[str]]:
    return [list(row.cells) for row in sheet.rows()]


def refusal(file: Path, worksheet: str | None = None) -> SheetError:
    with pytest.raises(SheetError) as caught:
        list(read_sheet(file, ReadOptions(worksheet=worksheet)).rows())
    assert str(caught.value).startswith(file.name)
    return caught.value


# ------------------------------------------------------------------------------------------------------ CSV


@pytest.mark.parametrize("text", AS_WRITTEN)
def test_a_csv_cell_arrives_as_written(csv_file: Callable[[bytes], Path], text: str) -> None:
    assert cells(read_sheet(csv_file(f"A,B\n{text},x\n".encode()))) == [[text, "x"]]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_every_kind_of_line_end_and_a_bom_are_understood(
    csv_file: Callable[[bytes], Path], bom: bytes, end: str
) -> None:
    sheet = read_sheet(csv_file(bom + end.join(["Ä,B", "1,2", "", "3,ö", ""]).encode()))
    assert sheet.columns == ["Ä", "B"]
    assert [(row.number, row.cells) for row in sheet.rows()] == [(2, ["1", "2"]), (4, ["3", "ö"])]


@pytest.mark.parametrize("blank", ["", ",", " , ", '"",""'])
def test_blank_rows_count_but_are_no_rows(csv_file: Callable[[bytes], Path], blank: str) -> None:
    sheet = read_sheet(csv_file(f"{blank}\nA,B\n{blank}\n1,2\n{blank}\n{blank}\n3,4\n".encode()))
    assert sheet.columns == ["A", "B"]
    assert numbers(sheet) == [4, 7]


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_a_cell_with_line_breaks_is_one_row_of_the_spreadsheet(
    csv_file: Callable[[bytes], Path], line_break: str
) -> None:
    note = f"one{line_break}{line_break}two"
    sheet = read_sheet(csv_file(f'A,B\n"{note}",2\n3,4\n'.encode()))
    assert [(row.number, row.cells[0]) for row in sheet.rows()] == [(2, note), (3, "3")]


def test_a_quoted_cell_may_hold_commas_and_quotation_marks(csv_file: Callable[[bytes], Path]) -> None:
    assert cells(read_sheet(csv_file(b'A,B\n"x, ""y""",2\n'))) == [['x, "y"', "2"]]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("1,2", "only 2 of 3 cells: something may be under a wrong header"),
        ("1", "only 1 of 3 cells: something may be under a wrong header"),
        ("1,2,3,4", "4 cells for 3 headers: something may be under a wrong header"),
        ("1,2,3,,5", "5 cells for 3 headers: something may be under a wrong header"),
    ],
)
def test_a_row_of_another_length_has_a_problem_and_the_next_does_not(
    csv_file: Callable[[bytes], Path], row: str, problem: str
) -> None:
    bad, good = read_sheet(csv_file(f"A,B,C\n{row}\n1,2,3\n".encode())).rows()
    assert (bad.number, bad.cells, bad.problem) == (2, row.split(","), problem)
    assert (good.number, good.cells, good.problem) == (3, ["1", "2", "3"], None)


def test_blank_cells_past_the_header_mean_nothing(csv_file: Callable[[bytes], Path]) -> None:
    (row,) = read_sheet(csv_file(b"A,B,,\n1,2,, ,,\n")).rows()
    assert (row.cells, row.problem) == (["1", "2"], None)


def test_a_blank_last_cell_that_is_written_is_no_missing_one(csv_file: Callable[[bytes], Path]) -> None:
    (row,) = read_sheet(csv_file(b"A,B,C\n1,,\n")).rows()
    assert (row.cells, row.problem) == (["1", "", ""], None)


@pytest.mark.parametrize("content", [b"\n\n", b"\xef\xbb\xbf", b"  \n"])
def test_a_sheet_without_a_header_is_refused(csv_file: Callable[[bytes], Path], content: bytes) -> None:
    assert refusal(csv_file(content)).wrong == "the sheet is empty"


@pytest.mark.parametrize("name", ["leads.csv", "leads.xlsx"])
def test_a_sheet_that_begins_far_down_is_not_called_empty(tmp_path: Path, name: str) -> None:
    blank = [[""]] * 60
    if name == "leads.csv":
        (tmp_path / name).write_text("\n" * 60 + "A\n1\n")
    else:
        workbook(tmp_path, [*blank, ["A"], [1]])
    reported = "its first 50 rows are blank: name that of the headers with --header-row"
    assert refusal(tmp_path / name).wrong == reported
    assert cells(read_sheet(tmp_path / name, ReadOptions(header_row=61))) == [["1"]]


def test_an_empty_file_is_refused(csv_file: Callable[[bytes], Path]) -> None:
    assert refusal(csv_file(b"")).wrong == "the file is empty"


def test_a_header_without_rows_is_a_sheet_of_no_rows(csv_file: Callable[[bytes], Path]) -> None:
    assert numbers(read_sheet(csv_file(b"A,B"))) == []


def test_an_unclosed_quotation_mark_is_reported_with_the_row_it_stands_in(
    csv_file: Callable[[bytes], Path],
) -> None:
    error = refusal(csv_file(b'A,B\n1,2\n\n"3,4\n5,6\n'))
    assert error.row == 4
    assert "quotation mark" in error.wrong


@pytest.mark.parametrize("rows_before", [0, 1, 1 << 17])  # these are more than a sample, and as much as a step
def test_one_byte_of_windows_1252_is_seen_wherever_it_stands(
    csv_file: Callable[[bytes], Path], rows_before: int
) -> None:
    sheet = read_sheet(csv_file(b"A,B\n" + b"1,23456\n" * rows_before + "3,Müller\n".encode("cp1252") + b"5,6\n"))
    assert sheet.notes() == ["read as Windows-1252: “Müller”"]
    assert next(row.cells for row in sheet.rows() if row.number == rows_before + 2) == ["3", "Müller"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_read_with_and_without_a_bom(csv_file: Callable[[bytes], Path], encoding: str) -> None:
    sheet = read_sheet(csv_file("Name,B\nMüller,2\nJosé,3\n".encode(encoding)))
    assert sheet.notes() == ["UTF-16 text"]
    assert cells(sheet) == [["Müller", "2"], ["José", "3"]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"A,B\n\x81\x8d\x8f\n", "column A holds a byte (0x81)"),
        (bytes(range(256)) * 4, "not a text file"),
        (b"A\0B" + b"\xff" * 9, "column A holds a NUL byte"),
    ],
)
def test_bytes_that_are_no_text_are_refused(csv_file: Callable[[bytes], Path], content: bytes, words: str) -> None:
    assert words in refusal(csv_file(content)).wrong


def test_a_long_sheet_comes_row_by_row_and_may_be_read_again(csv_file: Callable[[bytes], Path]) -> None:
    sheet = read_sheet(csv_file(b"A,B\n" + b"".join(b"%d,x\n" % n for n in range(50_000)) + b'"'))
    first = sheet.rows()
    assert [next(first).number for _ in range(3)] == [2, 3, 4]  # the fault at the end was not met yet
    assert next(sheet.rows()).cells == ["0", "x"]
    with pytest.raises(SheetError) as caught:
        list(first)
    assert caught.value.row == 50_002


@pytest.mark.parametrize(("length", "words"), [(32_768, "the limit is 32,767"), (200_000, "field limit")])
def test_a_cell_longer_than_a_spreadsheets_is_refused(
    csv_file: Callable[[bytes], Path], length: int, words: str
) -> None:
    error = refusal(csv_file(b"A,B\n1,2\n" + b"x" * length + b",2\n"))
    assert error.row in {2, 3}
    assert words in error.wrong


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_the_apostrophe_of_our_own_results_comes_off(csv_file: Callable[[bytes], Path], start: str) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["A", "B"], [f"'{start}1", "2"]])
    assert cells(read_sheet(csv_file(text.getvalue().encode()))) == [[f"{start}1", "2"]]


@pytest.mark.parametrize("text", ["'quoted'", "'", "''", "O'Brien", "'tis"])
def test_any_other_apostrophe_stays(csv_file: Callable[[bytes], Path], text: str) -> None:
    assert cells(read_sheet(csv_file(f"A,B\n{text},2\n".encode()))) == [[text, "2"]]


ANY_CHARACTER = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
CELL = st.text(ANY_CHARACTER, max_size=12) | st.text("'=+-@\t\r\n\",; aé", max_size=6)


@given(rows=st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=5))
@example(rows=[["", "", ""], ["", "USER", "USER"]])  # what names columns could be taken for the header
def test_what_a_csv_writer_wrote_comes_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    """`x` makes no row blank; guarded, as our own results are, because a bare `'=1` is read as `=1`."""
    file = tmp_path_factory.mktemp("csv") / "leads.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        header = ["Lead Id", "User Id", "Access", "Note"]
        csv.writer(out).writerows([header, *[["x", *map(guarded, row)] for row in rows]])
    assert cells(read_sheet(file)) == [["x", *row] for row in rows]


@given(text=CELL)
def test_what_is_guarded_is_never_a_formula(text: str) -> None:
    assert not guarded(text).startswith(FORMULA_STARTS)


# ---------------------------------------------------------------------------------------------------- Excel


@pytest.mark.parametrize("text", AS_WRITTEN)
def test_a_text_cell_of_a_workbook_arrives_as_written(tmp_path: Path, text: str) -> None:
    assert cells(read_sheet(workbook(tmp_path, [["A", "B"], [text, "x"]]))) == [[text, "x"]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (869196, "869196"),
        (869196.0, "869196"),
        (0, "0"),
        (-5, "-5"),
        (0.1, "0.1"),
        (999_999_999_999_999, "999999999999999"),
        (True, "TRUE"),
        (False, "FALSE"),
        (dt.date(2024, 1, 2), "2024-01-02"),
        (dt.datetime(2024, 1, 2), "2024-01-02"),  # noqa: DTZ001 - a workbook knows no zones
        (dt.datetime(2024, 1, 2, 3, 4, 5), "2024-01-02 03:04:05"),  # noqa: DTZ001
        (dt.time(3, 4), "03:04:00"),
    ],
)
def test_a_cell_with_a_type_arrives_as_a_spreadsheet_shows_it(tmp_path: Path, value: object, text: str) -> None:
    assert cells(read_sheet(workbook(tmp_path, [["A", "B"], [value, "x"]]))) == [[text, "x"]]


def test_a_number_keeps_its_looks_beside_text_and_blanks_in_the_same_column(tmp_path: Path) -> None:
    table: list[list[Any]] = [["A", "B"], [869196, "x"], ["00123", "x"], [None, "x"], [0.5, "x"]]
    assert [row[0] for row in cells(read_sheet(workbook(tmp_path, table)))] == ["869196", "00123", "", "0.5"]


@pytest.mark.parametrize("value", [1_000_000_000_000_000, 1234567890123456, 12345678901234567890])
def test_a_number_longer_than_excel_keeps_is_refused_with_the_reason(tmp_path: Path, value: int) -> None:
    ((text, _),) = cells(read_sheet(workbook(tmp_path, [["A", "B"], [value, "x"]])))
    with pytest.raises(ValueError, match="last digits are lost: keep the column as text"):
        parse_lead_number(text)


def test_a_formula_arrives_as_its_last_value(tmp_path: Path) -> None:
    file = tmp_path / "leads.xlsx"
    with xlsxwriter.Workbook(file) as book:
        page = book.add_worksheet()
        page.write_row(0, 0, ["A", "B", "C"])
        page.write_formula(1, 0, "=1+1", None, 2)
        page.write_formula(1, 1, '="0"&"7"', None, "07")
        page.write_formula(1, 2, "=1/0", None, "#DIV/0!")
    # calamine shows an error as nothing at all
    assert cells(read_sheet(file)) == [["2", "07", ""]]


def test_blank_rows_of_a_workbook_count(tmp_path: Path) -> None:
    table: list[list[Any]] = [[], ["", None], ["A", "B"], [], ["1", "2"], [None, "  "], ["3", "4"]]
    sheet = read_sheet(workbook(tmp_path, table))
    assert sheet.columns == ["A", "B"]
    assert numbers(sheet) == [5, 7]


def test_blank_cells_at_a_workbook_rows_end_are_no_problem_but_filled_ones_past_the_header_are(
    tmp_path: Path,
) -> None:
    short, wide = read_sheet(workbook(tmp_path, [["A", "B"], ["1"], ["1", "2", None, "4"]])).rows()
    assert (short.cells, short.problem) == (["1", ""], None)
    assert wide.cells == ["1", "2", "", "4"]
    assert wide.problem == "column D has no header: something may be under a wrong header"


def test_an_empty_column_before_the_table_shifts_nothing(tmp_path: Path) -> None:
    sheet = read_sheet(workbook(tmp_path, [[None, "A", "B"], [None, "1", "2"]]))
    assert sheet.columns == ["", "A", "B"]
    assert cells(sheet) == [["", "1", "2"]]


def test_the_first_worksheet_is_read_unless_one_is_named(tmp_path: Path) -> None:
    file = workbook(tmp_path, [["A"], ["1"]], [["B"], ["2"]])
    assert (read_sheet(file).worksheet, read_sheet(file).columns) == ("One", ["A"])
    named = read_sheet(file, ReadOptions(worksheet="Two"))
    assert (named.worksheet, named.columns) == ("Two", ["B"])


def test_an_unknown_worksheet_is_reported_with_those_that_there_are(tmp_path: Path) -> None:
    assert refusal(workbook(tmp_path, [["A"]], [["B"]]), "Three").wrong == (
        "it has no worksheet 'Three', only 'One', 'Two'"
    )


def test_an_empty_worksheet_is_refused(tmp_path: Path) -> None:
    assert refusal(workbook(tmp_path, [])).wrong == "the sheet is empty"


@pytest.mark.parametrize(
    "content",
    [b"", b"A,B\n1,2\n", b"PK\x03\x04 cut off", bytes.fromhex("d0cf11e0a1b11ae1") + bytes(2000)],
    ids=["empty", "csv", "cut-off", "encrypted"],
)
def test_what_is_no_workbook_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "leads.xlsx"
    file.write_bytes(content)
    error = refusal(file)
    assert any(words in error.wrong for words in ("text, not a workbook", "damaged", "empty"))
    assert "\n" not in str(error)


# -------------------------------------------------------------------------------------------- which file


@pytest.mark.parametrize("name", ["leads.pdf", "leads"])
def test_other_kinds_of_files_are_refused_with_those_that_are_read(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"A,B\n1,2\n")
    assert "(.csv, .ods, .tsv, .txt, .xls, .xlsm, .xlsx)" in refusal(file).wrong


def test_the_suffix_may_be_upper_case(tmp_path: Path) -> None:
    file = tmp_path / "LEADS.CSV"
    file.write_bytes(b"A\n1\n")
    assert cells(read_sheet(file)) == [["1"]]


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "my folder.csv"
    folder.mkdir()
    assert refusal(tmp_path / "leads.csv").wrong == "there is no such file"
    watch = f"batch-share watch '{folder}'"
    assert refusal(folder).wrong == f"a folder, not a sheet: `{watch}` runs each sheet that is dropped into it"


@pytest.mark.skipif(os.name != "posix", reason="there are no named pipes")
def test_a_stream_is_refused_with_what_to_do(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "leads.csv")
    assert {refusal(name).wrong for name in (tmp_path / "leads.csv", Path("-"))} == {
        "a stream: save it to a file first"
    }


def test_a_csv_file_has_no_worksheets(csv_file: Callable[[bytes], Path]) -> None:
    assert refusal(csv_file(b"A\n1\n"), "One").wrong == "a CSV file has no worksheet 'One'"


# --------------------------------------------------------------------------------------------------- people


@pytest.fixture
def real_headers(monkeypatch: pytest.MonkeyPatch, any_header_will_do: None) -> None:
    monkeypatch.undo()


OWNED: list[list[Any]] = [["Lead Number", "Owner"], [869000, "asha@x.example"]]
MEANT: list[list[Any]] = [["Lead Number", "New Owner"], [869000, "ravi@x.example"]]
UNREAD = "column 'Team mate' holds e-mail addresses and is not read"


@pytest.mark.usefixtures("real_headers")
@pytest.mark.parametrize("tables", [[OWNED, MEANT], [MEANT, OWNED]])
def test_a_worksheet_that_says_who_is_to_get_the_lead_is_taken_before_one_of_who_has_it(
    tmp_path: Path, tables: list[list[list[Any]]]
) -> None:
    sheet = read_sheet(workbook(tmp_path, *tables))
    assert sheet.worksheet == ["One", "Two"][tables.index(MEANT)]
    assert not sheet.found.doubtful


@pytest.mark.usefixtures("real_headers")
def test_of_worksheets_of_who_has_the_lead_the_first_is_taken_in_doubt(tmp_path: Path) -> None:
    sheet = read_sheet(workbook(tmp_path, [["About"]], OWNED))
    assert sheet.worksheet == "Two"
    (note,) = sheet.of_people
    assert note.startswith("'Owner' ('asha@x.example') usually says who has the lead now: read as the user only")


@pytest.mark.usefixtures("real_headers")
@pytest.mark.parametrize("header_row", [None, 3])
def test_what_stands_below_the_headers_is_looked_at_wherever_they_are(
    csv_file: Callable[[bytes], Path], header_row: int | None
) -> None:
    file = csv_file(b"All leads\n\nLead Number,User Email,Team mate\n869000,a@x.example,b@x.example\n")
    sheet = read_sheet(file, ReadOptions(header_row=header_row))
    assert UNREAD in sheet.of_people
    assert numbers(sheet) == [4]


@pytest.mark.usefixtures("real_headers")
def test_headers_far_down_are_followed_by_what_stands_below_them(csv_file: Callable[[bytes], Path]) -> None:
    file = csv_file(b"x\n" * 99 + b"Lead Number,User Email,Team mate\n869000,a@x.example,b@x.example\n" + b'"')
    sheet = read_sheet(file, ReadOptions(header_row=100))
    assert UNREAD in sheet.of_people


@pytest.mark.usefixtures("real_headers")
def test_a_row_of_who_has_the_lead_is_a_header_too(csv_file: Callable[[bytes], Path]) -> None:
    sheet = read_sheet(csv_file(b"Lead Owners of May,x\nProspectAutoId,OwnerIdEmailAddress\n869000,a@x.example\n"))
    assert sheet.header_row == 2
