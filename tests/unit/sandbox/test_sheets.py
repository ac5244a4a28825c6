"""The sample sheets are the ones that the sandbox makes for itself: `make samples` writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch_share.sandbox import World
from batch_share.sandbox.sheets import write_csv, write_excel
from batch_share.sheet.reader import read_sheet

SAMPLES = Path(__file__).parents[3] / "samples"


def test_the_sample_csv_is_todays(tmp_path: Path) -> None:
    write_csv(World(), tmp_path / "leads.csv")
    assert (tmp_path / "leads.csv").read_bytes() == (SAMPLES / "leads.csv").read_bytes()


@pytest.mark.parametrize("name", ["leads.csv", "leads.xlsx"])
def test_the_sample_sheets_read_as_todays(name: str, tmp_path: Path) -> None:
    write = {"leads.csv": write_csv, "leads.xlsx": write_excel}[name]
    write(World(), tmp_path / name)
    made, kept = read_sheet(tmp_path / name), read_sheet(SAMPLES / name)
    assert made.columns == kept.columns
    assert [*made.rows()] == [*kept.rows()]
