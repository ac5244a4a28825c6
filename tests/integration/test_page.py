"""The page without a browser: from a sheet to results, and who is kept out."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import pytest
from trial import HEADER, Trial, options, sheet_rows
from visiting import visiting

from batch_share.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def trial(tmp_path: Path) -> AsyncIterator[Trial]:
    async with Sandbox(options()) as sandbox:
        yield Trial(tmp_path, sandbox)


def sheet(rows: int = 6, **changed: Any) -> bytes:
    """A sheet, with other cells in row 2."""
    lines = sheet_rows(rows)
    lines[0] = [changed.get(header.replace(" ", "_"), cell) for header, cell in zip(HEADER, lines[0], strict=True)]
    out = io.StringIO()
    csv.writer(out).writerows([HEADER, *lines])
    return out.getvalue().encode()


async def test_a_sheet_goes_from_the_page_to_its_results(trial: Trial) -> None:
    async with visiting(trial) as visitor:
        assert "Nothing yet" in visitor.text
        await visitor.upload(sheet(6, Duration="soon"))
        assert visitor.path.endswith("/columns"), visitor.text
        assert "6 rows below the headers in row 1" in visitor.text
        assert "1 row can't be sent as it is" in visitor.text
        await visitor.plan(sheet(6, Duration="soon"))
        assert "5 leads will be shared with 5 people" in visitor.text
        assert "soon" in visitor.text
        assert trial.sandbox.report()["activities"] == 0
        await visitor.approve()
        await visitor.results()
        assert "5 of 6 rows are shared." in visitor.text, visitor.text
        assert trial.sandbox.report()["activities"] == trial.live() == 5
        assert "/results" in visitor.path
        await visitor.get(f"{visitor.sheet}/files/results.csv")
        lines = [*csv.reader(visitor.text.splitlines())]
        assert len(lines) == 7
        assert "attachment" in visitor.headers["Content-Disposition"]
        await visitor.get("/")
        assert "done, with rows to look at" in visitor.text
