"""Every benchmark in a form of seconds: it yields the shape it promises. How fast anything is fails no test."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING

import aiohttp
import pytest
from rich.console import Console
from stores import IS_INSTALLED
from trial import CREATE, SHARE, STATUS, options, sheet_rows

from batch_share.sandbox import Sandbox, SandboxOptions, World
from batch_share.settings import Settings
from benchmarks import again, bad_rows, growth, overhead, pace, reading, script, start_up, stored, throughput
from benchmarks.__main__ import BENCHMARKS
from benchmarks.bare import keys_of, make_calls
from benchmarks.children import measured
from benchmarks.report import Line, Part, paired, save, show, those, write_page
from benchmarks.sheets import rows_of, write_csv
from benchmarks.sizes import SIZES

if TYPE_CHECKING:
    from pathlib import Path

SMOKE = SIZES["smoke"]


def test_all_nine_are_asked_for() -> None:
    assert "".join(BENCHMARKS) == "abcdefghi"


def test_pacing_measures_every_limiter_and_ours_is_never_refused() -> None:
    part = pace.measure(SMOKE)
    assert [line.what for line in part.lines] == [
        "AsyncLimiter(10, 0.4), 12 ms",
        "AsyncLimiter(1, 0.04), 12 ms",
        "pyrate-limiter, 12 ms",
        "ours (Pacer), 12 ms",
    ]
    (ours,) = those(part.runs, limiter=pace.OURS)
    assert ours["refusals"] == 0
    assert ours["fullest"] <= SMOKE.rate.limit
    (bare,) = those(part.runs, limiter="AsyncLimiter(10, 0.4)")
    assert bare["refusals"] > 0, "the sandbox is not strict"
    for run in part.runs:
        assert run["mean_trip"] > 0.005
        assert run["bound"] == pytest.approx(2 * (0.4 + run["mean_trip"]))
        assert run["over_bound"] == pytest.approx(run["seconds"] / run["bound"])
    assert part.lines[-1].met == (part.lines[-1].ratio is not None and part.lines[-1].ratio <= pace.GOAL)


def test_a_limiter_that_is_not_installed_is_reported_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "is_there", lambda limiter: limiter == pace.OURS)
    part = pace.measure(SMOKE)
    assert {run["limiter"] for run in part.runs} == {pace.OURS}
    assert [line.measured for line in part.lines[:-1]] == ["not installed: `make bench` does"] * 3


def test_throughput_confirms_every_row_in_every_mode_that_is_there() -> None:
    part = throughput.measure(SMOKE)
    there = [mode for mode in throughput.MODES if mode.is_there]
    assert [run["mode"] for run in part.runs] == [throughput.SCRIPT, *(mode.name for mode in there)]
    for run, rows in zip(part.runs, [SMOKE.job_rows] * 2 + [SMOKE.bulk_rows] * 3, strict=False):
        assert run["confirmed"] == run["live_shares"] == rows
        assert run["duplicates"] == 0
        assert run["a_minute"] == pytest.approx(60 * rows / run["seconds"])
    assert part.runs[1]["refusals"] == 0
    assert [line.measured for line in part.lines].count("not there yet") == len(throughput.MODES) - len(there)


def test_a_mode_is_there_once_its_settings_are() -> None:
    assert throughput.Mode("a", {"workers": 3}).is_there
    assert not throughput.Mode("b", {"workers": 3, "no_such_setting": 1}).is_there
    assert all(mode.is_there == ("bulk" in Settings.model_fields) for mode in throughput.MODES if mode.is_bulk)


async def test_the_script_works_through_aiohttp_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "POLL_SECONDS", 0.0)
    async with (
        Sandbox(options()) as sandbox,
        aiohttp.ClientSession(f"{sandbox.url}/v2/", headers=keys_of(sandbox.options)) as session,
    ):
        assert await script.Script(session).share_all(sheet_rows(8)) == 8
        report = sandbox.report()
    assert [report["calls"][name] for name in (CREATE, SHARE, STATUS)] == [8, 8, 8]
    assert report["live_shares"]["count"] == 8


async def test_the_script_goes_on_after_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "POLL_SECONDS", 0.0)
    limited = options(rate=SMOKE.rate, retry_after=0.1)
    async with (
        Sandbox(limited) as sandbox,
        aiohttp.ClientSession(f"{sandbox.url}/v2/", headers=keys_of(sandbox.options)) as session,
    ):
        assert await script.Script(session, seed=1).share_all(sheet_rows(5)) == 5
        assert sandbox.report()["refusals"] > 0


async def test_the_bare_loop_shares_every_row() -> None:
    keys = SandboxOptions()
    async with Sandbox(options(access_key=keys.access_key, secret_key=keys.secret_key)) as sandbox:
        await make_calls(sandbox.url, list(rows_of(9)), workers=4)
        report = sandbox.report()
    assert report["live_shares"]["count"] == 9
    assert report["outcomes"] == {"done": 27}


def test_overhead_compares_the_same_calls() -> None:
    part = overhead.measure(SMOKE)
    assert [run["job"] for run in part.runs] == ["bare_loop", "whole_run"]
    assert [line.what for line in part.lines] == ["by the clock", "by CPU time of the process"]
    for line in part.lines:
        assert line.ratio is not None
        assert line.ratio > 0
        assert line.met == (line.ratio >= overhead.GOAL)


def test_reading_reads_every_row_of_both_sheets_by_all_that_are_there() -> None:
    part = reading.measure(SMOKE)
    assert [line.what for line in part.lines] == ["50 rows, .csv", "50 rows, .xlsx"]
    assert [(run["sheet"], run["reader"], run["rows"]) for run in part.runs] == [
        (sheet, reader, 50)
        for sheet, readers in (("50.csv", reading.PEERS[".csv"]), ("50.xlsx", reading.PEERS[".xlsx"]))
        for reader in (*filter(reading.is_there, readers), "plan")
    ]
    for line, sheet in zip(part.lines, ("50.csv", "50.xlsx"), strict=True):
        ours, pandas = (those(part.runs, sheet=sheet, reader=each)[0] for each in ("plan", "pandas"))
        assert line.ratio == pytest.approx(ours["whole_cpu"] / pandas["whole_cpu"])


def test_a_reader_that_is_not_installed_is_reported_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "is_there", lambda reader: reader == "pandas")
    part = reading.measure(SMOKE)
    assert {run["reader"] for run in part.runs} == {"pandas", "plan"}
    assert "polars: not installed; duckdb: not installed" in part.lines[0].beside


def test_bad_rows_fail_and_no_others_and_no_run_beats_the_bound() -> None:
    part = bad_rows.measure(SMOKE)
    assert [(run["bad"], run["processing"]) for run in part.runs] == [(0.0, 1.0), (0.05, 1.0)]
    for run, line in zip(part.runs, part.lines, strict=True):
        assert (run["refusals"], run["duplicates"]) == (0, 0)
        assert line.ratio == pytest.approx(run["a_minute"] / run["bound"])
        assert run["a_minute"] < run["bound"]


def test_the_bound_is_that_of_information_and_of_time() -> None:
    assert bad_rows.bound(100_000, 1 / 97, 1.0) == pytest.approx(1460, abs=1)
    assert bad_rows.bound(100_000, 0.0, 1.0) == pytest.approx(2505, abs=1)
    assert bad_rows.bound(100, 0.0, 60.0) == pytest.approx(100)


def test_a_finished_ledger_is_run_again_in_every_way() -> None:
    part = again.measure(SMOKE)
    assert [line.what for line in part.lines] == [*again.AGAIN]
    assert all(run["cpu_seconds"] > 0 for run in part.runs)
    assert all(line.met is None for line in part.lines), "the goals are for a hundred thousand rows"


def test_start_up_starts_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_up, "COMMANDS", {"help": start_up.COMMANDS["help"], "click": ["-c", "import json"]})
    monkeypatch.setattr(start_up, "is_there", lambda: True)
    monkeypatch.setattr(start_up, "PLACES", ("on a terminal",))
    part = start_up.measure(SMOKE)
    assert [run["command"] for run in part.runs] == ["help", "click", "run", "on a terminal"]
    assert part.runs[2]["cpu_seconds"] > 0.1, "not even Python starts in so little"
    assert part.runs[3]["at_rest"] >= 0, "it ended"
    assert part.lines[0].ratio == pytest.approx(part.runs[0]["cpu_seconds"] / part.runs[1]["cpu_seconds"])


def test_growth_runs_every_size_resumes_the_largest_and_takes_in_the_most() -> None:
    part = growth.measure(SMOKE)
    assert [(run["job"], run["rows"]) for run in part.runs] == [
        ("whole_run", 10),
        ("whole_run", 20),
        ("resume", 20),
        ("taking_in", 40),
    ]
    assert [line.what for line in part.lines] == [
        "10 rows", "20 rows", "memory, 20 rows", "memory, 40 rows taken in", "resume, 20 finished rows",
    ]  # fmt: skip
    assert all(line.met is None for line in part.lines), "the goals are for a hundred thousand rows"


def test_memory_is_a_process_s_own_not_that_of_whoever_started_it(tmp_path: Path) -> None:
    write_csv(tmp_path / "leads.csv", 5)
    burden = bytearray(b"x" * 300_000_000)
    numbers = measured("plan", tmp_path, sheet="leads.csv")
    assert 10 < numbers["mb_before"] <= numbers["peak_mb"] < len(burden) / 1e6


def test_a_job_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="'plan' failed"):
        measured("plan", tmp_path, sheet="not-there.csv")


def test_sheets_of_any_length_hold_the_leads_of_the_sandbox() -> None:
    assert list(rows_of(30)) == sheet_rows(30, World(leads=30))


def test_a_ratio_is_the_median_over_pairs_that_ran_side_by_side() -> None:
    runs = [{"job": job, "seconds": value} for job, value in zip("ababab", [1, 2, 10, 30, 5, 50], strict=True)]
    assert paired(runs, "seconds", {"job": "b"}, {"job": "a"}) == 3


def test_table_and_json_hold_every_line_and_every_run(tmp_path: Path) -> None:
    part = Part(
        "x", "title", "How [it] was done.", [Line("what", "1 s", "2 s", 0.5, "less", met=False)], [{"seconds": 1}]
    )
    out = StringIO()
    show(Console(file=out, width=120), [part])
    for words in ("title", "what", "1 s", "2 s", "0.5", "less", "no", "(x) How [it] was done."):
        assert words in out.getvalue()
    save(tmp_path / "all.json", "smoke", [part])
    saved = json.loads((tmp_path / "all.json").read_text())
    assert set(saved) == {"at", "size", "commit", "changed_since", "machine", "parts"}
    assert saved["machine"]["cpus"] > 0
    assert saved["parts"][0]["runs"] == [{"seconds": 1}]
    assert saved["parts"][0]["lines"][0]["met"] is False


def test_a_page_takes_the_parts_that_were_measured_and_keeps_the_others(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    page.write_text(
        "# Speed\n\n<!-- x: begin -->\nold\n<!-- x: end -->\n<!-- y: begin -->\nkept\n<!-- y: end -->\n"
    )
    lines = [Line("what", "1 s", "2 s", 0.5, "at most 0.4", met=False)]
    write_page(page, [Part("x", "title", "How.", lines, [])], "smoke")
    text = page.read_text()
    assert "old" not in text
    assert "kept" in text
    assert "### Title\n\n| what | measured | beside it | ratio | goal |" in text
    assert "| what | 1 s | 2 s | 0.5 | at most 0.4 (missed) |\n\nHow. Measured " in text
    with pytest.raises(ValueError, match="no place for part z"):
        write_page(page, [Part("z", "title", "How.", lines, [])], "smoke")


@pytest.mark.skipif(not IS_INSTALLED, reason="nothing that starts PostgreSQL is installed")
def test_ledgers_in_a_store_stand_beside_those_in_files() -> None:
    part = stored.measure(SMOKE)
    assert [line.what for line in part.lines] == stored.WHATS
    for place in stored.PLACES:
        (run,) = those(part.runs, place=place)
        assert run["found"] > 0, "the check found no share"
        assert run["runs_told"] == min(SMOKE.ledgers + 1, 20)
        assert run["accesses"] == (SMOKE.ledgers * SMOKE.ledger_rows + SMOKE.stored_rows) // 10
        assert run["purged"] == SMOKE.ledgers + 1
        assert run["left"] == 0
