"""OpenDocument spreadsheets as programs write them: errors, what is repeated, what is hidden, and what is shown."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING
from xml.dom import minidom

import pytest

from batch_share.common import Cause
from batch_share.errors import SheetError
from batch_share.sheet.columns import Field
from batch_share.sheet.reader import ReadOptions, Sheet, read_sheet
from batch_share.sheet.rows import RowRules
from batch_share.sheet.table import FAULTS, NO_FAULTS

if TYPE_CHECKING:
    from pathlib import Path

NAMES = {
    **{name: f"urn:oasis:names:tc:opendocument:xmlns:{name}:1.0" for name in ("office", "table", "text", "style")},
    "calcext": "urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0",
}
DEFAULTS = {Field.ACCESS: "write", Field.DURATION: "7d", Field.EVENT: "201", Field.NOTE: "Note"}
STRING = 'office:value-type="string"'
HIDES = '<style:style style:name="ta1"><style:table-properties table:display="false"/></style:style>'


def cell(attributes: str = "", *paragraphs: str, repeated: int = 1) -> str:
    again = f' table:number-columns-repeated="{repeated}"' if repeated > 1 else ""
    return f"<table:table-cell {attributes}{again}>{''.join(map(paragraph, paragraphs))}</table:table-cell>"


def paragraph(text: str) -> str:
    return f"<text:p>{text}</text:p>"


def row(*cells: str, attributes: str = "", repeated: int = 1) -> str:
    again = f' table:number-rows-repeated="{repeated}"' if repeated > 1 else ""
    return f"<table:table-row {attributes}{again}>{''.join(cells)}</table:table-row>"


HEAD = row(*(cell(STRING, name) for name in ("Lead Number", "User Email", "Access", "Rank")))
LEAD = cell('office:value-type="float" office:value="7"', "7") + cell(STRING, "a@x.com")


def document(path: Path, *rows: str, before: str = "", style: str = "", manifest: str = "") -> Path:
    """A spreadsheet whose worksheet A has these rows."""
    names = " ".join(f'xmlns:{prefix}="{name}"' for prefix, name in NAMES.items())
    table = f'<table:table table:name="A" table:style-name="ta2">{"".join(rows)}</table:table>'
    body = f"<office:body><office:spreadsheet>{before}{table}</office:spreadsheet></office:body>"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        out.writestr("META-INF/manifest.xml", f"<manifest>{manifest}</manifest>")
        out.writestr(
            "content.xml",
            f"<office:document-content {names}><office:automatic-styles>{style}</office:automatic-styles>{body}"
            "</office:document-content>",
        )
    return path


def wrong(sheet: Sheet) -> list[str]:
    rules = RowRules(sheet.columns, sheet.found, DEFAULTS)
    checked = [rules.check(each) for each in sheet.rows()]
    return [str(problem) for problems in checked if isinstance(problems, list) for problem in problems]


FORMULA = 'table:formula="of:=NA()"'


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (cell(f'{FORMULA} {STRING} office:string-value="" calcext:value-type="error"', "#N/A"), Cause.ERROR_VALUE),
        (cell(f'{FORMULA} {STRING} office:string-value="" calcext:value-type="error"', "#NV"), Cause.ERROR_VALUE),
        (cell(f'{FORMULA} {STRING} office:string-value=""', "#REF!"), Cause.ERROR_VALUE),
        (cell(f'{FORMULA} office:value-type="float" office:value="0"', "Err:502"), Cause.ERROR_VALUE),
        (cell(f"{FORMULA} {STRING}", "#DIV/0!"), Cause.ERROR_VALUE),
        (cell(FORMULA, "#VALUE!"), Cause.ERROR_VALUE),
        (cell(STRING, "#N/A"), Cause.ERROR_VALUE),
        (cell(FORMULA), Cause.NEVER_STORED),
        (cell(f'{FORMULA} office:value-type="float"'), Cause.NEVER_STORED),
    ],
)
def test_a_cell_without_a_true_value_makes_its_row_invalid_and_is_never_a_default(
    bad: str, fault: Cause, tmp_path: Path
) -> None:
    (said,) = wrong(read_sheet(document(tmp_path / "leads.ods", HEAD, row(LEAD, bad))))
    assert said.startswith("Row 2, Access")
    assert said.endswith(FAULTS[fault])


def test_an_error_in_a_column_that_is_not_read_does_no_harm(tmp_path: Path) -> None:
    rows = row(LEAD, cell(), cell(FORMULA, "#N/A")), row(LEAD, cell(), cell(FORMULA), cell(FORMULA, "#N/A"))
    assert wrong(read_sheet(document(tmp_path / "leads.ods", HEAD, *rows))) == []


def test_a_formula_that_gives_an_empty_text_is_blank(tmp_path: Path) -> None:
    blank = cell(f'{FORMULA} {STRING} office:string-value=""', "")
    assert wrong(read_sheet(document(tmp_path / "leads.ods", HEAD, row(LEAD, blank)))) == []


def test_what_is_repeated_stands_where_it_is_shown(tmp_path: Path) -> None:
    rows = [
        row(cell(repeated=16384), repeated=2),
        HEAD,
        row(LEAD, cell(f'{FORMULA} calcext:value-type="error"', "#N/A", repeated=2), repeated=2),
        row(cell(repeated=16384), repeated=3),
        row(cell(repeated=2), cell(STRING, "read"), cell(repeated=16381)),
        row(cell(repeated=16384), repeated=1_048_000),
    ]
    sheet = read_sheet(document(tmp_path / "leads.ods", *rows))
    assert sheet.header_row == 3
    found = [(each.number, list(each.cells), each.faults) for each in sheet.rows()]
    bad = {2: Cause.ERROR_VALUE, 3: Cause.ERROR_VALUE}
    assert found == [
        (4, ["7", "a@x.com", "", ""], bad),
        (5, ["7", "a@x.com", "", ""], bad),
        (9, ["", "", "read", ""], NO_FAULTS),
    ]


@pytest.mark.parametrize("rows", [row(LEAD, repeated=9_999_999), row(cell(repeated=99_999_999), LEAD)])
def test_what_is_repeated_beyond_memory_is_refused(rows: str, tmp_path: Path) -> None:
    with pytest.raises(SheetError, match="stands far away"):
        read_sheet(document(tmp_path / "leads.ods", HEAD, rows))


def test_what_is_hidden_and_merged_is_reported(tmp_path: Path) -> None:
    hidden = 'table:visibility="collapse"'
    columns = [
        '<table:table-column table:number-columns-repeated="3"/>',
        f'<table:table-column {hidden} table:number-columns-repeated="1021"/>',
    ]
    rows = [
        row(LEAD, attributes='table:visibility="filter"', repeated=2),
        row(LEAD, cell(f'{STRING} table:number-rows-spanned="2" table:number-columns-spanned="1"', "read")),
        row(cell(), cell(), "<table:covered-table-cell/>", attributes=hidden),
        f"<table:table-row-group>{row(LEAD, attributes=hidden)}</table:table-row-group>",
    ]
    sheet = read_sheet(document(tmp_path / "leads.ods", *columns, HEAD, *rows))
    assert [each.number for each in sheet.rows()] == [2, 3, 4, 6]
    assert sheet.notes() == [
        "3 hidden rows, read like the others",
        "1 hidden column, read like the others",
        "1 merged range: only the first cell of each has the value",
    ]


def test_a_document_whose_xml_is_indented_is_read(tmp_path: Path) -> None:
    path = document(tmp_path / "leads.ods", HEAD, row(LEAD, cell(STRING, "read")))
    with zipfile.ZipFile(path) as source:
        content = minidom.parseString(source.read("content.xml")).toprettyxml()
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("content.xml", content)
    (found,) = read_sheet(path).rows()
    assert found.cells == ["7", "a@x.com", "read", ""]


def test_a_hidden_worksheet_is_not_taken_unless_it_is_named(tmp_path: Path) -> None:
    hidden = f'<table:table table:name="B" table:style-name="ta1">{HEAD}{row(LEAD)}{row(LEAD)}</table:table>'
    path = document(tmp_path / "leads.ods", HEAD, row(LEAD), before=hidden, style=HIDES)
    assert read_sheet(path).worksheet == "A"
    assert len([*read_sheet(path, ReadOptions(worksheet="B")).rows()]) == 2


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (cell(STRING, "one", "two"), "one\ntwo"),
        (cell(STRING, 'a<text:s text:c="3"/>b<text:tab/>c<text:line-break/>d<text:s/>e'), "a   b\tc\nd e"),
        (cell(STRING, "a<text:span> b</text:span>  \n c"), "a b c"),
        (cell(STRING, "a<office:annotation><text:p>who?</text:p></office:annotation>b"), "ab"),
        (cell(STRING, "a").replace("<text:p>", f"<text:note>{paragraph('who?')}</text:note><text:p>"), "a"),
        (cell(f'{STRING} office:string-value="00123"', "123"), "00123"),
        (cell("", "no type"), "no type"),
        (cell('office:value-type="float" office:value="7"', "7.00 €"), "7"),
        (cell('office:value-type="percentage" office:value="0.5"', "50 %"), "0.5"),
        (cell('office:value-type="currency" office:value="1234567890123456"', "x"), "1.23456789012346E+15"),
        (cell('office:value-type="boolean" office:boolean-value="true"', "WAHR"), "TRUE"),
        (cell('office:value-type="date" office:date-value="2026-12-31"', "31.12.26"), "2026-12-31"),
        (cell('office:value-type="date" office:date-value="2026-12-31T00:00:00"', "x"), "2026-12-31"),
        (cell('office:value-type="date" office:date-value="2026-12-31T18:30:00"', "x"), "2026-12-31 18:30:00"),
        (cell('office:value-type="date" office:date-value="never"', "x"), "never"),
        (cell('office:value-type="time" office:time-value="PT03H04M00S"', "x"), "03:04:00"),
        (cell('office:value-type="time" office:time-value="PT36H04M00S"', "x"), "PT36H04M00S"),
    ],
)  # fmt: skip
def test_a_cell_is_read_as_it_is_meant(said: str, text: str, tmp_path: Path) -> None:
    (found,) = read_sheet(document(tmp_path / "leads.ods", HEAD, row(LEAD, cell(), said))).rows()
    assert found.cells[3] == text


def test_xml_that_is_indented_is_the_same(tmp_path: Path) -> None:
    lines = "\n   ".join(f"{HEAD}{row(LEAD)}".replace("><", ">\n  <").splitlines())
    (found,) = read_sheet(document(tmp_path / "leads.ods", lines)).rows()
    assert found.cells == ["7", "a@x.com", "", ""]


def test_tables_that_are_no_worksheets_are_not_read(tmp_path: Path) -> None:
    changes = f"<table:tracked-changes>{LEAD}</table:tracked-changes>"
    linked = f"<table:dde-links><table:table>{row(LEAD)}</table:table></table:dde-links>"
    within = f"<table:table-cell>{paragraph('x')}<table:table>{row(LEAD)}</table:table></table:table-cell>"
    sheet = read_sheet(document(tmp_path / "leads.ods", HEAD, row(LEAD, cell(), within), before=changes + linked))
    assert [(each.number, each.cells[3]) for each in sheet.rows()] == [(2, "x")]


def test_a_protected_document_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = document(tmp_path / "leads.ods", HEAD, manifest='<manifest:encryption-data xmlns:manifest="x"/>')
    with pytest.raises(SheetError, match="protected with a password: remove it and try again"):
        read_sheet(path)


@pytest.mark.parametrize("count", ["x", "-1", "9" * 5000])
def test_a_count_that_is_none_is_refused_or_one(count: str, tmp_path: Path) -> None:
    path = document(tmp_path / "leads.ods", HEAD, row(LEAD, attributes=f'table:number-rows-repeated="{count}"'))
    try:
        assert [each.number for each in read_sheet(path).rows()] == [2]
    except SheetError as error:
        assert "damaged, or not a workbook" in error.wrong  # noqa: PT017 - either ending is right
