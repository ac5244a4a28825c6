"""Sheets as people really have them: each is read to its last row, or refused in one sentence that says why."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import odf.opendocument
import odf.table
import odf.text
import openpyxl
import pytest
import xlsxwriter
import xlwt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans import check_columns

from batch_share.common import Cause
from batch_share.errors import SheetError
from batch_share.settings import SheetLimits
from batch_share.sheet.columns import Field
from batch_share.sheet.mapping import SheetMapping
from batch_share.sheet.reader import ReadOptions, read_sheet
from batch_share.sheet.rows import Problem, RowRules, ShareRow
from batch_share.sheet.table import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
MAIL = "asha@sales.example.com"
HEAD = ["Lead Number", "User Email"]
DEFAULTS = {Field.ACCESS: "read", Field.DURATION: "7d", Field.EVENT: "201", Field.NOTE: "Note"}
NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)


def verdicts(path: Path, options: ReadOptions | None = None) -> list[str]:
    """Of each row `ok 12` or what is wrong with it; where it is judged with its column, it says the same."""
    sheet = read_sheet(path, options)
    rules = RowRules(sheet.columns, sheet.found, DEFAULTS, now=NOON)
    check_columns(sheet, rules)
    return [word for row in sheet.rows() for word in _verdict(row.number, rules.check(row))]


def _verdict(number: int, checked: ShareRow | list[Problem]) -> list[str]:
    if isinstance(checked, ShareRow):
        return [str(checked.over or f"ok {number}")]
    return [str(problem) for problem in checked]


# ------------------------------------------------------------------------------------------------------ text


@dataclass(frozen=True)
class Text:
    """A text file and what becomes of it: a verdict for each row, or the refusal's words."""

    name: str
    content: str | bytes
    expected: list[str] | str
    options: ReadOptions = field(default_factory=ReadOptions)
    suffix: str = ".csv"


TEXTS = [
    Text("plain", "Lead Number,User Email\n1,a@x.com\n", ["ok 2"]),
    Text("semicolons", "Lead Number;User Email\n1;a@x.com\n", ["ok 2"]),
    Text("tabs", "Lead Number\tUser Email\n1\ta@x.com\n", ["ok 2"], suffix=".tsv"),
    Text("bars", "Lead Number|User Email\n1|a@x.com\n", ["ok 2"]),
    Text("semicolons with commas inside", "Lead Number;User Email;City\n1;a@x.com;Pune, MH\n", ["ok 2"]),
    Text("a comma in a quoted cell", 'Lead Number,User Email,City\n1,a@x.com,"Pune, MH"\n', ["ok 2"]),
    Text("a line break in a quoted cell", 'Lead Number,User Email,City\n1,a@x.com,"Pune\nMH"\n2,a@x.com,x\n', ["ok 2", "ok 3"]),
    Text("a quotation mark doubled", 'Lead Number,User Email,City\n1,a@x.com,"say ""hi"""\n', ["ok 2"]),
    Text("a quotation mark never closed", 'Lead Number,User Email\n1,"a@x.com\n', "quotation mark that is not closed"),
    Text("old Mac line ends", "Lead Number,User Email\r1,a@x.com\r", ["ok 2"]),
    Text("no line end at the end", "Lead Number,User Email\n1,a@x.com", ["ok 2"]),
    Text("a BOM", "\ufeffLead Number,User Email\n1,a@x.com\n", ["ok 2"]),
    Text("UTF-16", "Lead Number\tUser Email\n1\ta@x.com\n".encode("utf-16"), ["ok 2"], suffix=".txt"),
    Text("Windows-1252", "Lead Number,User Email,Näme\n1,a@x.com,Müller\n".encode("cp1252"), ["ok 2"]),
    Text("a title above", "Cover sheet\n\nLead Number,User Email\n1,a@x.com\n", ["ok 4"]),
    Text("a title with commas above", "Cover, weekend, all\nLead Number,User Email\n1,a@x.com\n", ["ok 3"]),
    Text("a header row that is named", "User,Lead\nLead Number,User Email\n1,a@x.com\n", ["ok 3"], ReadOptions(header_row=2)),
    Text("a header row that is blank", "\nLead Number,User Email\n", "no such header row", ReadOptions(header_row=1)),
    Text("blank rows between", "Lead Number,User Email\n\n1,a@x.com\n,\n2,a@x.com\n\n\n", ["ok 3", "ok 5"]),
    Text("an index column as pandas writes it", ",Lead Number,User Email\n0,1,a@x.com\n1,2,a@x.com\n", ["ok 2", "ok 3"]),
    Text("a trailing comma everywhere", "Lead Number,User Email,\n1,a@x.com,\n", ["ok 2"]),
    Text("a column without a header", "Lead Number,,User Email\n1,x,a@x.com\n", "column B has no header"),
    Text("the same header twice", "Lead Number,User Email,user email\n1,a@x.com,b@x.com\n", "more than once"),
    Text("two headers for one field", "Lead Number,ProspectAutoId,User Email\n1,2,a@x.com\n", "two columns could be the Lead Number"),
    Text("no lead", "Name,User Email\nAsha,a@x.com\n", "no column for the lead"),
    Text("no user", "Lead Number,City\n1,Pune\n", "no column for the user"),
    Text("a misspelt header", "Led Number,User Email\n1,a@x.com\n", "Did you mean 'Led Number' for Lead Number?"),
    Text("a header alone", "Lead Number,User Email\n", []),
    Text("nothing at all", b"", "the file is empty"),
    Text("blank lines alone", "\n\n\n", "the sheet is empty"),
    Text("a picture", bytes.fromhex("89504e470d0a1a0a") + bytes(range(256)), "not a text file"),
    Text("a web page", "<!DOCTYPE html><html><body>Sign in</body></html>", "no column for the lead and the user"),
    Text("JSON", '{"leads": [1, 2]}', "can't be read|no column for the lead"),
    Text("a cell too few", "Lead Number,User Email,City\n1,a@x.com\n2,a@x.com,x\n", ["Row 2: only 2 of 3 cells: something may be under a wrong header", "ok 3"]),
    Text("a cell too many", "Lead Number,User Email\n1,a@x.com,x\n", ["Row 2: 3 cells for 2 headers: something may be under a wrong header"]),
    Text("an unquoted comma shifts", "Lead Number,City,User Email\n1,Pune, MH,a@x.com\n", ["Row 2: 4 cells for 3 headers: something may be under a wrong header"]),
    Text("a decimal lead number", "Lead Number,User Email\n869196.0,a@x.com\n", ["ok 2"]),
    Text("a number that a spreadsheet rounded", "Lead Number,User Email\n8.69196E+17,a@x.com\n", ["Row 2, Lead Number '8.69196E+17': too long for a number in Excel, its last digits are lost: keep the column as text"]),
    Text("thousands with commas", 'Lead Number,User Email\n"869,196",a@x.com\n', ["Row 2, Lead Number '869,196': not a lead number: digits only"]),
    Text("spaces around", "  Lead Number ,User Email  \n 1 ,  a@x.com \n", ["ok 2"]),
    Text("no-break spaces", "Lead\u00a0Number,User Email\n\u00a01,a@x.com\u00a0\n", ["ok 2"]),
    Text("two addresses in one cell", "Lead Number,User Email\n1,a@x.com; b@x.com\n", ["Row 2, User Email 'a@x.com; b@x.com': not an e-mail address such as asha@example.com"]),
    Text("a name with its address", "Lead Number,User Email\n1,Asha <a@x.com>\n", ["ok 2"]),
    Text("a name for a user", "Lead Number,New Owner\n1,Asha Rao\n", ["Row 2, New Owner 'Asha Rao': neither an e-mail address nor a GUID: a name does not say which user it is"]),
    Text("an Id for a new owner", f"Lead Number,New Owner\n1,{{{GUID.upper()}}}\n", ["ok 2"]),
    Text("both blank", "Lead Number,User Email,Access\n,,read\n", ["Row 2, Lead Number: blank", "Row 2, User Email: blank"]),
    Text("nothing that is read", "City,Lead Number,User Email\nPune,,\nNorth\n,1,a@x.com\n", ["ok 4"]),
    Text("a total under the leads", "City,Lead Number,User Email\n,Total,\n", ["Row 2, Lead Number 'Total': not a lead number: digits only", "Row 2, User Email: blank"]),
    Text("NA and null are words", "Lead Number,User Email\nNA,null\n", ["Row 2, Lead Number 'NA': not a lead number: digits only", "Row 2, User Email 'null': not an e-mail address such as asha@example.com: a name does not say which user it is"]),
    Text("a date as days are counted elsewhere", "Lead Number,User Email,Until\n1,a@x.com,31/13/2026\n", ["Row 2, Until '31/13/2026': not a date: write 2026-12-31, or 2026-12-31 18:00"]),
    Text("an end that is over", "Lead Number,User Email,Until\n1,a@x.com,2025-12-31\n", ["Row 2, Until '2025-12-31': is over already"]),
    Text("a day that never was", "Lead Number,User Email,Until\n1,a@x.com,2026-02-30\n", ["Row 2, Until '2026-02-30': not a date: write 2026-12-31, or 2026-12-31 18:00"]),
    Text("both days and an end", "Lead Number,User Email,Days,Until\n1,a@x.com,7,2026-12-31\n", ["Row 2, Until '2026-12-31': Days says how long already: leave one of them blank"]),
    Text("neither of them in a row", "Lead Number,User Email,Days,Until\n1,a@x.com,,\n", ["ok 2"]),
    Text("a formula as text", "Lead Number,User Email\n=1+1,a@x.com\n", ["Row 2, Lead Number '=1+1': not a lead number: digits only"]),
    Text("errors that a spreadsheet wrote", "Lead Number,User Email,Access,Note\n1,a@x.com,#N/A,\n2,a@x.com,,#REF!\n", [f"Row 2, Access '#N/A': {FAULTS[Cause.ERROR_VALUE]}", f"Row 3, Note '#REF!': {FAULTS[Cause.ERROR_VALUE]}"]),
    Text("an unseen character", "Lead Number,User Email\n1,a@x.com\u200b\n", ["Row 2, User Email 'a@x.com\\u200b': holds an unseen character (U+200B, zero width space) after 'a@x.com': type it anew"]),
    Text("a link for an address", "Lead Email,User Email\nmailto:a@x.com,a@x.com\n", ["Row 2, Lead Email 'mailto:a@x.com': begins with “mailto:”, which is no part of an address: remove it"]),
    Text("an address with a sharp s", "Lead Email,User Email\nweiß@x.com,a@x.com\n", ["ok 2"]),
    Text("our own guard", "Lead Phone,User Email\n'+91-9810000019,a@x.com\n", ["ok 2"]),
    Text("a mapping for foreign headers", "Kunde;Betreuer\n1;a@x.com\n", ["ok 2"], ReadOptions(mapping=SheetMapping({"Kunde": "Lead Number", "Betreuer": "User Email"}))),
    Text("a mapping for a column that is gone", "Kunde;User Email\n1;a@x.com\n", "'Kunden' that is not there. Did you mean 'Kunde'?", ReadOptions(mapping=SheetMapping({"Kunden": "Lead Number"}))),
    Text("a worksheet of a CSV", "Lead Number,User Email\n", "a CSV file has no worksheet", ReadOptions(worksheet="One")),
    Text("more rows than allowed", "Lead Number,User Email\n1,a@x.com\n2,a@x.com\n", "more than 1 rows, the limit", ReadOptions(limits=SheetLimits(rows=1))),
    Text("more columns than allowed", "Lead Number,User Email,a,b\n1,a@x.com,,\n", "more than 3 columns, the limit", ReadOptions(limits=SheetLimits(columns=3))),
    Text("a ledger", "SQLite format 3", "a ledger, not a sheet: `batch-share resume", suffix=".db"),
    Text("an unknown kind of file", "Lead Number,User Email\n", "not a kind of sheet that is read here", suffix=".pdf"),
]  # fmt: skip


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case.name)
def test_a_nasty_text_file(case: Text, tmp_path: Path) -> None:
    path = tmp_path / f"leads{case.suffix}"
    path.write_bytes(case.content if isinstance(case.content, bytes) else case.content.encode())
    _expect(path, case.options, case.expected)


def _expect(path: Path, options: ReadOptions, expected: list[str] | str) -> None:
    if isinstance(expected, list):
        assert verdicts(path, options) == expected
        return
    with pytest.raises(SheetError) as caught:
        verdicts(path, options)
    assert any(words in str(caught.value) for words in expected.split("|"))
    assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------------------------------- workbooks


def xlsx(path: Path, fill: Callable[[Any, Any], None]) -> None:
    with xlsxwriter.Workbook(path) as book:
        fill(book, book.add_worksheet("One"))


def rows(page: Any, *table: Sequence[object], start: int = 0) -> None:
    for number, cells in enumerate(table, start=start):
        page.write_row(number, 0, cells)


def plain(_book: Any, page: Any) -> None:
    rows(page, HEAD, [869196, MAIL])


def numbers_as_text(_book: Any, page: Any) -> None:
    rows(page, HEAD)
    page.write_string(1, 0, "00123")
    page.write_string(1, 1, MAIL)


def title_block(_book: Any, page: Any) -> None:
    page.merge_range("A1:F1", "Weekend cover")
    rows(page, HEAD, [1, MAIL], start=4)


def hidden(_book: Any, page: Any) -> None:
    rows(page, [*HEAD, "Secret"], [1, MAIL, "x"], [2, MAIL, "y"])
    page.set_row(2, None, None, {"hidden": True})
    page.set_column(2, 2, None, None, {"hidden": True})


def merged_users(book: Any, page: Any) -> None:
    rows(page, HEAD, [1, MAIL], [2])
    page.merge_range("B2:B3", MAIL)


def formula_without_value(_book: Any, page: Any) -> None:
    rows(page, [*HEAD, "Sum"], [1, MAIL])
    page.write_formula("A3", "=A2+1", value="")
    page.write("B3", MAIL)


def error_values(_book: Any, page: Any) -> None:
    rows(page, HEAD, [1, MAIL])
    page.write_formula("A3", "=NA()", value="#N/A")
    page.write("B3", MAIL)


def error_in_a_column_that_is_not_read(_book: Any, page: Any) -> None:
    rows(page, [*HEAD, "Rank"], [1, MAIL])
    page.write_formula("C2", "=1/0", value="#DIV/0!")


def rounded_number(_book: Any, page: Any) -> None:
    rows(page, HEAD, [12345678901234567890, MAIL])


def dates(book: Any, page: Any) -> None:
    rows(page, [*HEAD, "Until"], [1, MAIL])
    page.write_datetime(1, 2, dt.datetime(2026, 12, 31), book.add_format({"num_format": "dd-mmm-yy"}))  # noqa: DTZ001


def on_the_second_sheet(book: Any, page: Any) -> None:
    rows(page, ["Read me"])
    rows(book.add_worksheet("Two"), HEAD, [1, MAIL])


def on_a_hidden_sheet(book: Any, page: Any) -> None:
    rows(page, HEAD, [1, MAIL])
    rows(book.add_worksheet("Shown"), ["Read me"])
    book.get_worksheet_by_name("Shown").activate()
    page.hide()


def in_the_middle_of_the_page(_book: Any, page: Any) -> None:
    for number, cells in enumerate([HEAD, [1, MAIL]], start=3):
        page.write_row(number, 2, cells)


def blank_to_the_end(book: Any, page: Any) -> None:
    rows(page, HEAD, [1, MAIL])
    page.write_blank(5000, 40, None, book.add_format({"bold": True}))


def beyond_the_header(_book: Any, page: Any) -> None:
    rows(page, HEAD, [1, MAIL, "", "x"])


NEVER = "a formula whose value was never stored: open the sheet in a spreadsheet program and save it"
WORKBOOKS: list[tuple[Callable[[Any, Any], None], list[str] | str]] = [
    (plain, ["ok 2"]),
    (numbers_as_text, ["ok 2"]),
    (title_block, ["ok 6"]),
    (hidden, ["ok 2", "ok 3"]),
    (merged_users, ["ok 2", "Row 3, User Email: blank"]),
    (formula_without_value, ["ok 2", f"Row 3, Lead Number: {NEVER}"]),
    (error_values, ["ok 2", "Row 3, Lead Number: an error, not a value: fix its formula"]),
    (error_in_a_column_that_is_not_read, ["ok 2"]),
    (rounded_number, ["Row 2, Lead Number '1.23456789012346E+19': too long for a number in Excel, its last digits are lost: keep the column as text"]),
    (dates, ["ok 2"]),
    (on_the_second_sheet, ["ok 2"]),
    (on_a_hidden_sheet, "no column for the lead and the user"),
    (in_the_middle_of_the_page, ["ok 5"]),
    (blank_to_the_end, ["ok 2"]),
    (beyond_the_header, ["Row 2: column D has no header: something may be under a wrong header"]),
]  # fmt: skip


@pytest.mark.parametrize(("fill", "expected"), WORKBOOKS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_nasty_workbook(fill: Callable[[Any, Any], None], expected: list[str] | str, tmp_path: Path) -> None:
    path = tmp_path / "leads.xlsx"
    xlsx(path, fill)
    _expect(path, ReadOptions(), expected)


def test_a_hidden_sheet_is_read_where_it_is_named(tmp_path: Path) -> None:
    xlsx(tmp_path / "leads.xlsx", on_a_hidden_sheet)
    assert verdicts(tmp_path / "leads.xlsx", ReadOptions(worksheet="One")) == ["ok 2"]


@pytest.mark.parametrize(
    ("fill", "notes"),
    [
        (plain, []),
        (title_block, ["headers in row 5", "1 merged range: only the first cell of each has the value"]),
        (hidden, ["1 hidden row, read like the others", "1 hidden column, read like the others"]),
        (on_the_second_sheet, ["worksheet 'Two'"]),
    ],
)
def test_what_a_person_should_know_is_reported(
    fill: Callable[[Any, Any], None], notes: list[str], tmp_path: Path
) -> None:
    xlsx(tmp_path / "leads.xlsx", fill)
    sheet = read_sheet(tmp_path / "leads.xlsx")
    assert [*sheet.rows()]
    assert sheet.notes() == notes


def test_formulas_that_a_library_wrote_without_values(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(HEAD)
    book.active.append(["=1+1", MAIL])
    book.save(tmp_path / "leads.xlsm")
    assert verdicts(tmp_path / "leads.xlsm") == [f"Row 2, Lead Number: {NEVER}"]


def test_an_old_workbook(tmp_path: Path) -> None:
    book = xlwt.Workbook()
    page = book.add_sheet("One")
    table: list[list[object]] = [[*HEAD], [869196, MAIL], ["x", MAIL]]
    for number, cells in enumerate(table):
        for column, cell in enumerate(cells):
            page.write(number, column, cell)
    book.save(str(tmp_path / "leads.xls"))
    assert verdicts(tmp_path / "leads.xls") == ["ok 2", "Row 3, Lead Number 'x': not a lead number: digits only"]


def test_an_open_document(tmp_path: Path) -> None:
    book = odf.opendocument.OpenDocumentSpreadsheet()
    table = odf.table.Table(name="One")
    for cells in (HEAD, ["869196", MAIL]):
        row = odf.table.TableRow()
        for text in cells:
            cell = odf.table.TableCell(valuetype="string")
            cell.addElement(odf.text.P(text=text))
            row.addElement(cell)
        table.addElement(row)
    book.spreadsheet.addElement(table)
    book.save(str(tmp_path / "leads.ods"))
    assert verdicts(tmp_path / "leads.ods") == ["ok 2"]


# ---------------------------------------------------------------------------------------------------- hostile


def package(path: Path) -> dict[str, bytes]:
    """The parts of a good workbook."""
    xlsx(path, plain)
    with zipfile.ZipFile(path) as source:
        return {name: source.read(name) for name in source.namelist()}


def repack(path: Path, parts: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in parts.items():
            out.writestr(name, content)


def doctype(parts: dict[str, bytes]) -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><worksheet/>'
    parts["xl/worksheets/sheet1.xml"] = bomb


def squeezed(parts: dict[str, bytes]) -> None:
    parts["xl/media/huge.bin"] = bytes(3_000_000)


def many_parts(parts: dict[str, bytes]) -> None:
    parts.update({f"xl/media/{number}": b"" for number in range(60)})


@pytest.mark.parametrize(
    ("spoil", "limits", "words"),
    [
        (doctype, SheetLimits(), "document type"),
        (squeezed, SheetLimits(), "times its size; the limit is 200 (sheet.ratio)"),
        (squeezed, SheetLimits(unpacked_mb=2), "unpacks to 3 MB; the limit is 2 MB"),
        (many_parts, SheetLimits(entries=50), "parts in the workbook; the limit is 50"),
    ],
)
def test_a_hostile_workbook_is_refused_before_it_is_parsed(
    spoil: Callable[[dict[str, bytes]], None], limits: SheetLimits, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "leads.xlsx"
    parts = package(path)
    spoil(parts)
    repack(path, parts)
    _expect(path, ReadOptions(limits=limits), words)


def test_a_file_that_is_too_large_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    path.write_bytes(b"x" * 1_100_000)
    _expect(path, ReadOptions(limits=SheetLimits(file_mb=1)), "1 MB is over the limit of 1 MB (sheet.file_mb)")


def test_a_protected_workbook_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "leads.xlsx"
    path.write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(500) + "EncryptedPackage".encode("utf-16-le"))
    _expect(path, ReadOptions(), "protected with a password: remove it")


@pytest.mark.parametrize("keep", [10, 500, 3000])
def test_a_workbook_that_was_cut_off_is_refused(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "leads.xlsx"
    xlsx(path, plain)
    path.write_bytes(path.read_bytes()[:keep])
    _expect(path, ReadOptions(), "damaged|not a workbook")


# --------------------------------------------------------------------------------------------------- anything

ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["1", MAIL, GUID, "", "7d"]
)
QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUIET
@given(table=st.lists(st.lists(ANYTHING, min_size=4, max_size=4), min_size=1, max_size=6))
def test_whatever_cells_come_in_each_row_is_valid_or_reported_with_its_place(
    table: list[list[str]], tmp_path: Path
) -> None:
    path = tmp_path / "leads.xlsx"
    columns = ["Lead Id", "User Email", "Duration", "Note"]
    with xlsxwriter.Workbook(path, {"strings_to_formulas": False, "strings_to_urls": False}) as book:
        page = book.add_worksheet()
        for number, cells in enumerate([columns, *table]):
            for column, cell in enumerate(cells):
                page.write_string(number, column, cell)
    try:
        words = verdicts(path)
    except SheetError as error:  # for a column in which the same of another kind stands in every row
        words = [error.wrong]
    if words and words[0].startswith("column "):
        assert any(words[0].startswith(f"column {column!r} holds ") for column in columns)
        return
    for word in words:
        row, _, rest = word.removeprefix("ok ").removeprefix("Row ").partition(",")
        assert 2 <= int(row) <= len(table) + 1
        assert word.startswith("ok ") or any(rest.strip().startswith(column) for column in columns)


@QUIET
@given(content=st.binary(max_size=300), suffix=st.sampled_from([".csv", ".tsv", ".xlsx", ".xls", ".ods"]))
def test_whatever_bytes_come_in_only_one_kind_of_error_comes_out(
    content: bytes, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"leads{suffix}"
    path.write_bytes(content)
    with pytest.raises(SheetError) as caught:
        verdicts(path)
    assert "\n" not in str(caught.value)


@QUIET
@given(at=st.integers(0, 6000), byte=st.integers(0, 255))
def test_a_workbook_with_a_flipped_byte_is_read_or_refused(at: int, byte: int, tmp_path: Path) -> None:
    path = tmp_path / "leads.xlsx"
    whole = io.BytesIO()
    with xlsxwriter.Workbook(whole, {"in_memory": True}) as book:
        plain(book, book.add_worksheet("One"))
    content = bytearray(whole.getvalue())
    content[at % len(content)] = byte
    path.write_bytes(content)
    try:
        verdicts(path)
    except SheetError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either ending is right
