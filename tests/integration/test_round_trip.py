"""What people keep in columns of their own goes through sheet, ledger and results, and comes back the same."""

from __future__ import annotations

import asyncio
import csv
from typing import TYPE_CHECKING

import pytest
from directories import Everybody
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import make_plan
from spreadsheets import LIVE, NUMBERS, live_cells

from batch_share.ledger.files import LedgerName, open_ledger
from batch_share.library import BatchShare
from batch_share.planning.overview import PlanFiles
from batch_share.planning.plan import SheetOptions
from batch_share.results.answers import write_results
from batch_share.settings import Settings
from batch_share.sheet.reader import guarded, read_sheet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
HEADER = ["Lead Id", "User Id", "Kept"]
KEPT = st.text(st.characters(exclude_categories=["C"]) | st.sampled_from("\t\n'=+-@"), max_size=15)


async def through_the_ledger(folder: Path, suffix: str) -> Path:
    """Take the sheet in and write its results."""
    plan = make_plan(folder / "leads.csv", SheetOptions(), Settings(event="201", duration="7d"))
    async with open_ledger(LedgerName.of(folder / "leads.db"), host="https://leads.example") as ledger:
        await ledger.take_in(plan.record, plan.rows("job", Everybody()))
        await write_results(ledger, folder / f"out{suffix}")
    return folder / f"out{suffix}"


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
@settings(max_examples=25)
@given(kept=st.lists(KEPT, min_size=1, max_size=4))
def test_text_comes_back_unchanged(suffix: str, kept: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("trip")
    write_sheet(folder / "leads.csv", HEADER, *[[GUID, GUID, text] for text in kept])
    answered = asyncio.run(through_the_ledger(folder, suffix))
    assert [row.cells[2] for row in read_sheet(answered).rows()] == kept


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_no_cell_of_a_plan_is_live_and_all_come_back(suffix: str, tmp_path: Path) -> None:
    texts = [text for text in [*LIVE, *NUMBERS] if "\x0b" not in text]
    settings, files = Settings(event="201", duration="7d"), PlanFiles(output=tmp_path / f"plan{suffix}")
    headers = [f"{text} {n}" for n, text in enumerate(texts)]
    write_sheet(tmp_path / "leads.csv", [*HEADER, *headers], [GUID, GUID, "=1+1", *texts], ["=2", GUID, "", *texts])
    asyncio.run(BatchShare(settings).plan(tmp_path / "leads.csv", files=files))
    assert live_cells(tmp_path / f"plan{suffix}") == []
    planned = read_sheet(tmp_path / f"plan{suffix}")
    assert planned.columns[3:-3] == read_sheet(tmp_path / "leads.csv").columns[3:]
    rows = [row.cells for row in planned.rows()]
    assert [row[2:-3] for row in rows] == [["=1+1", *texts], ["", *texts]]
    assert [row[-3] for row in rows] == ["to send", "invalid"]


def write_sheet(file: Path, *rows: Sequence[str]) -> None:
    """A sheet as a person has it: guarded, for a bare `'=1` is read as `=1`."""
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([[guarded(text) for text in row] for row in rows])
