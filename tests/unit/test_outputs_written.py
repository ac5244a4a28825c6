"""What a ledger notes of the files that were written of it, and what one of before there was such a list knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from batch_share.outputs import RESULTS, WRITTEN, Output, Written, as_fact, digest_of, with_written, written_in

if TYPE_CHECKING:
    from pathlib import Path

OLD = Written(Output.RESULTS, "leads.results.csv", "old")
NEW = Written(Output.RESULTS, "leads.results.csv", "new")
OTHER = Written(Output.FAILED, "leads.failed.csv", "failed", "rows")


@pytest.mark.parametrize(
    ("before", "there", "after"),
    [
        ([], "", [NEW]),
        ([OLD, OTHER], "old", [OLD, OTHER, NEW]),  # the program may be cut off before the new one is there
        ([OLD, OTHER], "", [OTHER, NEW]),
        ([OLD, OTHER], "a person's", [OTHER, NEW]),
        ([OLD, NEW], "old", [OLD, NEW]),
        ([OLD, NEW], "new", [NEW, NEW]),
    ],
)
def test_of_a_name_there_is_the_latest_and_what_is_there_until_it_comes(
    before: list[Written], there: str, after: list[Written]
) -> None:
    assert with_written(before, NEW, there) == after
    assert written_in({WRITTEN: as_fact(after)}) == after


def test_a_ledger_that_knows_nothing_wrote_nothing() -> None:
    assert written_in({"job": "a"}) == []


@pytest.mark.parametrize("changed", [False, True])
def test_an_older_ledger_knows_its_results_by_their_size_and_time(tmp_path: Path, changed: bool) -> None:
    file = tmp_path / "leads.results.csv"
    file.write_text("ours")
    found = file.stat()
    facts = {RESULTS: json.dumps(["0.1", str(file), found.st_ino, found.st_size, found.st_mtime_ns])}
    if changed:
        file.write_text("with remarks")
    expected = [] if changed else [Written(Output.RESULTS, file.name, digest_of(file))]
    assert written_in(facts) == expected
    file.unlink()
    assert written_in(facts) == []


def test_an_older_ledger_knows_its_last_failed_sheet() -> None:
    noted = {"path": "/srv/leads.failed.csv", "file": "failed", "rows": "rows"}
    assert written_in({"failed_sheet": json.dumps(noted)}) == [OTHER]
    assert written_in({"failed_sheet": ""}) == []
