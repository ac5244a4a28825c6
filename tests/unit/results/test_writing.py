"""Where an output of a ledger goes: never over what is not the ledger's own, also after the program was cut off."""

# ruff: noqa: ASYNC240 - a test waits for its own small files
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ledgers import new_row, working
from placing import named

from batch_share.errors import BatchShareError
from batch_share.outputs import Output
from batch_share.results.writing import Placed, write_output

if TYPE_CHECKING:
    from batch_share.results.writing import Write


def saying(text: str, error: BaseException | None = None) -> Write:
    async def write(file: Path) -> None:
        file.write_text(text)
        if error is not None:
            raise error

    return write


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "leads.db"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "leads.results.csv"


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), OSError(28, "No space left on device"), KeyboardInterrupt()]
)
async def test_an_error_in_the_middle_leaves_the_older_file_and_no_other(
    file: Path, target: Path, error: BaseException
) -> None:
    async with working(file, new_row(1)) as ledger:
        await write_output(ledger, Output.RESULTS, target, saying("older"))
        before = sorted(file.parent.iterdir())
        for where in (target, named(target)):
            with pytest.raises((BatchShareError, ZeroDivisionError, KeyboardInterrupt)):
                await write_output(ledger, Output.RESULTS, where, saying("half of", error))
        assert sorted(file.parent.iterdir()) == before
    assert target.read_text() == "older"


@pytest.mark.parametrize("there", ["a file", "a folder", "a link to nothing"])
async def test_what_is_in_the_way_stays_and_the_next_free_name_is_reported(
    file: Path, target: Path, there: str
) -> None:
    second, third = (target.with_name(f"leads.results-{number}.csv") for number in (2, 3))
    second.write_text("theirs")
    if there == "a file":
        target.write_text("theirs")
    elif there == "a folder":
        target.mkdir()
    else:
        target.symlink_to("nowhere")
    async with working(file, new_row(1)) as ledger:
        placed = await write_output(ledger, Output.RESULTS, target, saying("ours"))
        reported = (
            "leads.results-2.csv was changed or written by somebody else, so it is kept, and the results are in"
        )
        assert placed == Placed(third, f"{reported} leads.results-3.csv")
        assert await write_output(ledger, Output.RESULTS, target, saying("newer")) == Placed(third)
    assert (third.read_text(), second.read_text()) == ("newer", "theirs")
    assert target.is_symlink() is (there == "a link to nothing")


async def test_a_program_that_is_cut_off_before_the_file_is_there_knows_the_older_one(
    file: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    async with working(file, new_row(1)) as ledger:
        await write_output(ledger, Output.RESULTS, target, saying("older"))
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", cut_off)
            for _ in range(3):
                with pytest.raises(KeyboardInterrupt):
                    await write_output(ledger, Output.RESULTS, target, saying("newer"))
        assert target.read_text() == "older"
        assert await write_output(ledger, Output.RESULTS, target, saying("newest")) == Placed(target)


async def test_a_file_that_another_program_holds_open_is_left_and_the_next_name_taken(
    file: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Windows does it with what Excel shows."""
    replace = Path.replace

    def hold(new: Path, place: Path) -> Path:
        if place == target:
            raise PermissionError(13, "Access is denied")
        return replace(new, place)

    async with working(file, new_row(1)) as ledger:
        await write_output(ledger, Output.RESULTS, target, saying("older"))
        monkeypatch.setattr(Path, "replace", hold)
        placed = await write_output(ledger, Output.RESULTS, target, saying("newer"))
        reported = "leads.results.csv is held open by another program, so it is kept, and the results are in"
        assert placed == Placed(target.with_name("leads.results-2.csv"), f"{reported} leads.results-2.csv")
        target.unlink()
        placed.path.unlink()
        with pytest.raises(BatchShareError, match=r"leads\.results\.csv can't be written \(Access is denied\)"):
            await write_output(ledger, Output.REPORT, target, saying("newest"))


async def test_each_kind_goes_on_where_its_last_one_is(file: Path, target: Path) -> None:
    report = target.with_name("leads.report.html")
    target.write_text("theirs")
    async with working(file, new_row(1)) as ledger:
        results = (await write_output(ledger, Output.RESULTS, target, saying("ours"))).path
        assert await write_output(ledger, Output.REPORT, report, saying("page")) == Placed(report)
        target.unlink()
        assert await write_output(ledger, Output.RESULTS, target, saying("newer")) == Placed(results)
        results.write_text("with remarks")
        reported = (
            "leads.results-2.csv was changed or written by somebody else, so it is kept, and the results are in"
        )
        placed = await write_output(ledger, Output.RESULTS, target, saying("newest"))
        assert placed == Placed(target, f"{reported} leads.results.csv")
