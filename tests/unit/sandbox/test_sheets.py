"""The sample sheets are the ones that the sandbox makes for itself: `make samples` writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from make_pictures import PICTURES
from make_samples import SAMPLES as MADE
from plans import make_plan

from batch_share.planning.overview import Unasked
from batch_share.planning.plan import SheetOptions
from batch_share.sandbox import World
from batch_share.settings import Settings
from batch_share.sheet.mapping import read_mapping
from batch_share.sheet.reader import ReadOptions, read_sheet

SAMPLES = Path(__file__).parents[3] / "samples"
MAPPED = ReadOptions(mapping=read_mapping(SAMPLES / "mapping.toml", []))


def test_nothing_else_is_among_the_samples() -> None:
    assert {file.name for file in SAMPLES.iterdir()} == {*MADE, *PICTURES}


@pytest.mark.parametrize("name", [name for name in MADE if not name.endswith(".xlsx")])
def test_a_sample_is_todays(name: str, tmp_path: Path) -> None:
    MADE[name](World(), tmp_path / name)
    assert (tmp_path / name).read_bytes() == (SAMPLES / name).read_bytes()


def test_the_sample_workbook_reads_as_todays(tmp_path: Path) -> None:
    MADE["leads.xlsx"](World(), tmp_path / "leads.xlsx")
    made, kept = read_sheet(tmp_path / "leads.xlsx"), read_sheet(SAMPLES / "leads.xlsx")
    assert made.columns == kept.columns
    assert [*made.rows()] == [*kept.rows()]


@pytest.mark.parametrize("name", [name for name in MADE if not name.endswith(".toml")])
def test_every_sample_can_be_planned(name: str) -> None:
    options = SheetOptions(MAPPED if name == "export.csv" else ReadOptions())
    plan = make_plan(SAMPLES / name, options, Settings(event="201", duration="7d"))
    assert [*plan.rows("job", Unasked())]
