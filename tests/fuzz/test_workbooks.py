"""However a workbook is damaged, it is read or refused in a sentence: within its limits, and in our words.

Good workbooks are spoilt as a whole and, where they are zip archives, in their parts: bytes flipped, pieces cut
out, doubled and put in, and numbers changed that say how large or how many something is.
"""

from __future__ import annotations

import io
import os
import re
import zipfile
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest
import xlsxwriter
import xlwt
from commands import commands
from fuzzing import FUZZED_COMMANDS
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

LIMITS: Final = {"BATCH_SHARE_SHEET__MEMORY_MB": "700", "BATCH_SHARE_SHEET__SECONDS": "15"}
HANGS: Final = 45.0
"""Seconds: the limit, and what a busy machine adds to it."""

FOREIGN: Final = re.compile(
    r"panicked|RUST_|Traceback|thread '|memory allocation|Error\b|Exception|calamine|xlrd|olefile|openpyxl|pandas|"
    r"zipfile|zlib|expat|not well-formed|codec|Python",
)
Row = list[str | float | bool]
HEAD: Final[Row] = ["Lead Number", "User Email", "Access", "Start", "Rank"]
ROWS: Final[list[Row]] = [
    [100_000 + row, f"user{row % 3}@sales.example.com", ("read", "write")[row % 2], 46_000 + row, row % 4 > 1]
    for row in range(20)
]


class Edit(NamedTuple):
    """One thing done to a file, or to one of its parts, at a `place` between its beginning (0) and its end (1)."""

    kind: str
    part: int | None
    place: float
    length: int
    number: int
    content: bytes


EDITS: Final = st.lists(
    st.builds(
        Edit,
        kind=st.sampled_from(["flip", "cut", "double", "insert", "lie", "lie in text", "drop", "swap"]),
        part=st.none() | st.integers(0, 30),
        place=st.floats(0, 1),
        length=st.integers(1, 20) | st.integers(1, 2000),
        number=st.sampled_from([0, 1, 2, 255, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 10**18]),
        content=st.binary(min_size=1, max_size=8)
        | st.sampled_from([b"<", b">", b"&#0;", b'r="XFD1048576"', b"<c/>"]),
    ),
    min_size=1,
    max_size=3,
)


@cache
def xlsx() -> bytes:
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, {"in_memory": True}) as book:
        page = book.add_worksheet("Leads")
        page.write_row(0, 0, HEAD)
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        for number, row in enumerate(ROWS, start=1):
            page.write_row(number, 0, row)
            page.write(number, 3, row[3], day)
        page.write_formula(5, 2, "=NA()", None, "#N/A")
        page.merge_range("G1:H2", "merged")
        book.add_worksheet("Hidden").hide()
    return made.getvalue()


@cache
def xls() -> bytes:
    book = xlwt.Workbook()
    page = book.add_sheet("Leads")
    for number, row in enumerate([HEAD, *ROWS]):
        for column, cell in enumerate(row):
            page.write(number, column, cell)
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


@cache
def ods() -> bytes:
    def line(row: Row, again: int = 1) -> str:
        cells = "".join(
            f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>"
            if isinstance(cell, str)
            else f'<table:table-cell office:value-type="float" office:value="{cell:d}"/>'
            for cell in row
        )
        return f'<table:table-row table:number-rows-repeated="{again}">{cells}</table:table-row>'

    names = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    table = f'<table:table table:name="Leads">{line(HEAD)}{"".join(line(row, 2) for row in ROWS)}</table:table>'
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        out.writestr("META-INF/manifest.xml", "<manifest/>")
        out.writestr(
            "content.xml",
            f"<office:document-content {names}><office:body><office:spreadsheet>{table}"
            "</office:spreadsheet></office:body></office:document-content>",
        )
    return made.getvalue()


KINDS: Final = {".xlsx": xlsx, ".xlsm": xlsx, ".xls": xls, ".ods": ods}


def spoilt(content: bytes, edits: list[Edit]) -> bytes:
    """First its parts, for a file that is spoilt as a whole may have none any more."""
    in_parts = [edit for edit in edits if edit.part is not None]
    if in_parts and content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as source:
            parts = {name: source.read(name) for name in source.namelist()}
        for edit in in_parts:
            names = [*parts]
            name = names[(edit.part or 0) % len(names)]
            if edit.kind == "drop" and len(parts) > 1:
                del parts[name]
            elif edit.kind == "swap":
                other = names[edit.length % len(names)]
                parts[name], parts[other] = parts[other], parts[name]
            else:
                parts[name] = changed(parts[name], edit)
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as out:
            for name, part in parts.items():
                out.writestr(name, part)
        content = made.getvalue()
    for edit in edits:
        if edit.part is None:
            content = changed(content, edit)
    return content


def changed(content: bytes, edit: Edit) -> bytes:
    at = int(edit.place * len(content))
    end = min(len(content), at + edit.length)
    before, piece, after = content[:at], content[at:end], content[end:]
    match edit.kind:
        case "flip":
            piece = bytes([piece[0] ^ (edit.number & 255 or 1)]) + piece[1:] if piece else piece
        case "cut":
            piece = b""
        case "double":
            piece *= 2 + edit.number % 50
        case "insert":
            piece = edit.content + piece
        case "lie":
            size = (1, 2, 4, 8)[edit.length % 4]
            piece = (edit.number % 256**size).to_bytes(size, "little") + piece[size:]
        case "lie in text":
            piece = re.sub(rb"[0-9]+", b"%d" % edit.number, piece, count=3)
    return before + piece + after


@pytest.mark.parametrize("suffix", KINDS)
@settings(FUZZED_COMMANDS, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=EDITS)
def test_a_damaged_workbook_is_read_or_refused_in_our_words(suffix: str, edits: list[Edit], tmp_path: Path) -> None:
    (tmp_path / f"leads{suffix}").write_bytes(spoilt(KINDS[suffix](), edits))
    env = {name: value for name, value in os.environ.items() if not name.startswith("BATCH_SHARE_")}
    command = ["plan", f"leads{suffix}", "--event", "201", "--duration", "7d"]
    done = commands().run(command, tmp_path, env | LIMITS, HANGS)
    event(f"exit {done.returncode}")
    assert done.returncode in range(6)
    assert FOREIGN.search(done.stdout + done.stderr) is None
    assert (done.returncode == 2) == done.stderr.startswith("batch-share: leads")
    assert len(done.stderr.splitlines()) <= 1
