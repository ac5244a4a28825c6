"""Every command ends with its own answer: few lines, three reasons, one next step, which works as it is printed."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from processes import DEADLINE, FAST, SAMPLES, sandbox_thread, shell_for, wait_until

from batch_share.common import Rate
from batch_share.sandbox import SandboxOptions, World
from batch_share.sandbox.sheets import active_users

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from processes import SandboxProcess, Shell

LINES, COLUMNS, REASONS = 15, 80, 3
SHEET = "my leads.csv"
OF_SHEET = ("--event", "201", "--duration", "7d")
REASON = re.compile(r"(Formerly )?([Rr]ows? \d|[Aa]ll [\d,]+ rows)")
PROGRESS = re.compile(r"^[a-z ]+: .*\d calls?, \d.*\n", re.MULTILINE)
COMMAND = re.compile(r"\n  (batch-share .*)")


def few(sheet: Path, rows: int = 3) -> None:
    """A sheet of so many leads, each for somebody else."""
    world = World()
    users = [user.email for user in active_users(world)]
    lines = [f"{lead.number},{users[at % len(users)]}" for at, lead in enumerate(world.leads[:rows])]
    sheet.write_text("\n".join(["Lead Number,User Email", *lines]), encoding="utf-8")


def seen(shell: Shell, *command: str, is_list: bool = False) -> str:
    """What somebody sees of a command on a screen of 80 columns; whatever it says has room there."""
    done = shell.run(*command, COLUMNS=str(COLUMNS))
    return fits(done.stderr + done.stdout, is_list=is_list)


def fits(screen: str, *, is_list: bool = False) -> str:
    """The screen, if all of it fits; without what a terminal shows only while the work goes on."""
    screen = PROGRESS.sub("", screen)
    assert "Traceback" not in screen
    lines = screen.splitlines()
    assert is_list or len(lines) <= LINES, screen
    for line in lines:  # only what is to be copied, and has no room, is longer
        to_copy = re.match(r"(([A-Z][^:]*: )?/|  batch-share )", line) or " " not in line.strip()
        assert len(line.rstrip()) <= COLUMNS or to_copy, screen
    assert is_list or sum(bool(REASON.match(line)) for line in lines) <= REASONS, screen
    assert len(COMMAND.findall(f"\n{screen}")) <= 1, screen
    return screen


def follow(shell: Shell, screen: str) -> str:
    """Do the one thing that is to be done next, as it is printed; what is seen then."""
    (printed,) = COMMAND.findall(f"\n{screen}")
    program, *arguments = shlex.split(printed)
    assert program == "batch-share"
    code, out, shown = shell.at_terminal("y", *arguments)
    assert code in {0, 3, 4, 5}, shown
    return out


@pytest.fixture(scope="module")
def changing() -> Iterator[SandboxProcess]:
    """A sandbox that can't process every other share, which the next try may change."""
    reported = SandboxOptions(port=0, rate=Rate.parse(FAST), latency=0.005, processing=0.05, fail=0.5)
    with sandbox_thread(reported) as made:
        yield made


@contextmanager
def broken(tmp_path: Path, faults: str) -> Iterator[Shell]:
    """A shell beside a sandbox of which calls go wrong."""
    reported = SandboxOptions(port=0, rate=Rate.parse(FAST), latency=0.005, processing=0.05, faults=faults)
    with sandbox_thread(reported) as made:
        yield shell_for(made, tmp_path)


def test_a_plan_says_how_it_is_run(shell: Shell, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "leads.csv", tmp_path / SHEET)
    screen = seen(shell, "plan", SHEET)
    assert screen.startswith("my leads.csv: 110 rows: 106 to be sent; 3 can't be sent; 1 the same as ")
    assert COMMAND.findall(screen) == ["batch-share run 'my leads.csv'"]
    few(tmp_path / SHEET)
    files = ("--output", "my plan.xlsx", "--save", "my plan.json", "--save-map", "map.toml")
    screen = seen(shell, "plan", SHEET, *OF_SHEET, "--max-rows", "4", "--note", "it's for you", "--online", *files)
    assert "\nWritten: my plan.xlsx, my plan.json, map.toml\nNothing was sent. To send it:\n" in screen
    assert follow(shell, screen).startswith("All 3 rows are shared.\n")
    again = seen(shell, "plan", SHEET, *OF_SHEET)
    assert "3 sent before, shared: nothing more is sent" in again
    assert not COMMAND.findall(again)


@pytest.mark.parametrize("name", ["mistakes.csv", "export.csv", "leads.xlsx"])
def test_a_plan_of_a_sheet_with_much_wrong_is_short(shell: Shell, tmp_path: Path, name: str) -> None:
    shutil.copy(SAMPLES / name, tmp_path)
    for more in ((), ("--online",)):
        seen(shell, "plan", name, "--event", "201", *more)


def test_a_run_of_which_all_went_well_has_nothing_to_do(shell: Shell, tmp_path: Path) -> None:
    few(tmp_path / SHEET)
    for answer in ("All 3 rows are shared.\nProved: ", "All 3 rows are shared.\nResults: my leads.results.csv\n"):
        screen = seen(shell, "run", SHEET, *OF_SHEET)
        assert answer in screen
        assert not COMMAND.findall(screen)
    assert "Nothing left to send." in screen


def test_a_run_with_failures_has_three_reasons_and_where_they_are_fixed(shell: Shell, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "leads.csv", tmp_path / SHEET)
    screen = seen(shell, "run", SHEET, "--yes")
    assert "\n104 of 110 rows are shared. 1 failed, 4 invalid (not sent), 1 skipped.\n" in screen
    assert screen.endswith("\nResults, with 3 more reasons: my leads.results.csv\n")
    assert len([line for line in screen.splitlines() if REASON.match(line)]) == REASONS
    failed = tmp_path / "my leads.failed.csv"
    failed.write_text(failed.read_text(encoding="utf-8-sig").replace("soon", "7d"), encoding="utf-8")
    assert follow(shell, screen).startswith("105 of 110 rows are shared.")
    status = seen(shell, "status", SHEET, is_list=True)
    assert status.startswith("105 of 110 rows are shared.")
    assert len(COMMAND.findall(status)) == 1


def test_a_run_that_a_person_ends_says_how_it_goes_on(tmp_path: Path, sandbox: SandboxProcess) -> None:
    shell = shell_for(sandbox, tmp_path)
    shell = replace(shell, env={**shell.env, "BATCH_SHARE_RATE": "60/1s"})
    shutil.copy(SAMPLES / "leads.csv", tmp_path / SHEET)
    shell.run("plan", SHEET, "--online")  # so that nobody is to be looked up
    with shell.start("run", SHEET, "--yes", COLUMNS=str(COLUMNS)) as process:
        wait_until(lambda: sandbox.report()["activities"] >= 5 or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    screen = fits(err + out)
    assert "\nInterrupted. Everything that was sent is in the ledger.\n" in err
    assert re.match(r"\d+ of 110 rows are shared\. ", out)
    assert not REASON.search(out)
    assert COMMAND.findall(screen) == ["batch-share resume 'my leads.csv'"]
    quick = shell_for(sandbox, tmp_path)
    assert follow(quick, screen).startswith("104 of 110 rows are shared.")


def test_what_stops_a_run_says_what_to_do_once(tmp_path: Path, shell: Shell, sandbox: SandboxProcess) -> None:
    few(tmp_path / SHEET, 12)
    shell.run("plan", SHEET, *OF_SHEET, "--online")
    day = seen(shell, "run", SHEET, *OF_SHEET, "--daily-limit", str(sandbox.report()["total_calls"] + 5))
    assert "run the same command again tomorrow" in " ".join(day.split())
    assert re.search(r"\n0 of 12 rows are shared\. ", day)
    assert not COMMAND.findall(day)
    refused = seen(shell, "run", SHEET, *OF_SHEET, BAD_KEY)
    assert refused.startswith("batch-share: ")


BAD_KEY = "--host=http://example.com"


def test_the_guard_names_no_ledger_that_is_not_there(tmp_path: Path) -> None:
    few(tmp_path / SHEET, 12)
    with broken(tmp_path, "Create:400=100%") as shell:
        screen = seen(shell, "run", SHEET, *OF_SHEET)
        said = " ".join(screen.split())
        assert "10 rows failed in a row" in said
        assert said.count("run the same command again") == 1
        assert "`batch-share resume`" not in said
        retried = seen(shell, "retry", SHEET, "--all")
        assert re.search(r"\n0 of 1[0-2] went through\. ", retried)


def test_rows_of_which_nobody_knows_have_one_command(tmp_path: Path) -> None:
    few(tmp_path / SHEET)
    with broken(tmp_path, "Create:reset=100%") as shell:
        screen = seen(shell, "run", SHEET, *OF_SHEET, "--on-unknown", "park")
        assert "\n0 of 3 rows are shared. 3 unknown (may have arrived).\n" in screen
        settle = "batch-share resume 'my leads.csv' --only-unknown --set on_unknown=settle"
        assert COMMAND.findall(screen) == [settle]


def test_what_is_still_being_processed_is_asked_for_with_one_command(tmp_path: Path) -> None:
    few(tmp_path / SHEET)
    with broken(tmp_path, "Status:pending=100%") as shell:
        screen = seen(shell, "run", SHEET, *OF_SHEET, "--wait", "0s")
        assert "0 of 3 rows are shared. 3 accepted (processing not yet confirmed).\n" in screen
        assert COMMAND.findall(screen) == ["batch-share follow-up 'my leads.csv'"]
        asked = seen(shell, "follow-up", SHEET, "--wait", "0s")
        assert "3 rows asked about: 3 accepted (processing not yet confirmed).\n" in asked


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("500", "HTTP 500: Internal Server Error"),
        ("500-mx", "The entity does not exist. Check the lead in LeadSquared"),
    ],
)
def test_a_status_that_could_not_be_read_is_said_once_with_why(tmp_path: Path, kind: str, words: str) -> None:
    few(tmp_path / SHEET)
    with broken(tmp_path, f"Status:{kind}=100%") as shell:
        for command in (("run", SHEET, *OF_SHEET), ("follow-up", SHEET)):
            screen = seen(shell, *command, "--wait", "0s")
            said = f"All 3 rows: accepted; its status could not be read: {words} Next: "
            assert " ".join(screen.split()).count(said) == 1
            assert COMMAND.findall(screen) == ["batch-share follow-up 'my leads.csv'"]
        screen = seen(shell, "revoke", SHEET, "--yes", "--wait", "0s")
        assert "; its status could not be read: " in " ".join(screen.split())


def test_a_retry_says_how_many_went_through(tmp_path: Path, changing: SandboxProcess) -> None:
    shell = shell_for(changing, tmp_path)
    few(tmp_path / SHEET, 8)
    first = seen(shell, "run", SHEET, *OF_SHEET)
    assert re.search(r"\n[1-7] of 8 rows are shared\. [1-7] failed\.\n", first)
    assert COMMAND.findall(first) == ["batch-share retry 'my leads.csv'"]
    assert re.match(r"\d of [1-7] went through\.", follow(shell, first))
    for _ in range(40):
        if "Nothing to try again.\n" in (screen := seen(shell, "retry", SHEET)):
            break
    assert "\nNothing to try again.\nResults: my leads.results.csv\n" in screen


def test_a_revocation_says_how_many_were_revoked(shell: Shell, tmp_path: Path) -> None:
    few(tmp_path / SHEET, 6)
    few(tmp_path / "other.csv", 2)
    shell.run("run", SHEET, *OF_SHEET)
    user = (tmp_path / SHEET).read_text().splitlines()[1].partition(",")[2]
    screen = seen(shell, "revoke", SHEET, "--user", user, "--yes")
    assert "\n1 of 1 revoked.\nTo share again, run the sheet with `--ledger` and a new name.\nResults: " in screen
    assert not COMMAND.findall(screen)
    assert "\n5 of 5 revoked.\nTo share again, " in seen(shell, "revoke", SHEET, "--yes")
    assert "\nNothing to revoke: no share of it stands.\n" in seen(shell, "revoke", SHEET, "--yes")
    shell.run("run", "other.csv", *OF_SHEET)
    assert "1 share with " in seen(shell, "revoke", "--user", user, "--all-jobs", "--yes")


def test_rows_that_are_skipped_are_named_with_their_own_reason(shell: Shell, tmp_path: Path) -> None:
    few(tmp_path / SHEET)
    lines = (tmp_path / SHEET).read_text(encoding="utf-8").splitlines()
    (tmp_path / SHEET).write_text("\n".join([*lines, lines[2], "7,nobody"]), encoding="utf-8")
    same = "Row 5: the same lead, user, access and activity as row 3\n"
    screen = seen(shell, "run", SHEET, *OF_SHEET)
    assert same in screen
    assert "was never tried" in screen
    # What the columns beside say is not said again.
    assert '"User Email: not an e-mail address' in (tmp_path / "my leads.results.csv").read_text(encoding="utf-8")
    screen = follow(shell, screen)
    assert same in screen
    screen = seen(shell, "run", SHEET, *OF_SHEET)
    assert "as they were" not in screen  # all of them are
    assert "was never tried" not in screen  # it has shared
    # A choice of rows leaves a row out that would not be sent anyway: its reason stays.
    screen = seen(shell, "run", SHEET, *OF_SHEET, "--renew", "1d", "--rows", "3-5")
    assert same in screen
    seen(shell, "run", SHEET, *OF_SHEET, "--renew", "1d", "--rows", "3")
    (row,) = [
        line for line in (tmp_path / "my leads.results.csv").read_text("utf-8").splitlines() if "as row" in line
    ]
    assert row.endswith(',"skipped","the same lead, user, access and activity as row 3","","","","5"')


def test_a_revocation_that_nobody_agreed_to_says_that_and_not_that_no_share_stands(
    shell: Shell, tmp_path: Path
) -> None:
    few(tmp_path / SHEET)
    shell.run("run", SHEET, *OF_SHEET)
    code, out, shown = shell.at_terminal("n", "revoke", SHEET)
    assert (code, "Nothing was revoked: it was not confirmed." in shown) == (1, True)
    alone = shell.run("revoke", SHEET)
    assert (alone.returncode, "nobody to ask" in alone.stderr) == (1, True)
    for said in (out + shown, alone.stdout + alone.stderr):
        assert "no share of it stands" not in said


def test_where_there_is_nothing_to_ask_that_is_the_answer(shell: Shell, tmp_path: Path) -> None:
    few(tmp_path / SHEET)
    shell.run("run", SHEET, *OF_SHEET, "--no-follow-up")
    assert seen(shell, "follow-up", SHEET).startswith("3 rows asked about: 3 shared.\n")
    assert seen(shell, "follow-up", SHEET).startswith("Nothing to ask: no row is being processed.\n")
    unknown = seen(shell, "resume", SHEET, "--only-unknown")
    assert unknown.startswith("Nothing to look up.\n")
    assert "\nAll 3 rows are shared.\n" in seen(shell, "resume", SHEET)
    assert "Proved: " in seen(shell, "status", SHEET, "--audit")
    for command in ("results", "report"):
        assert (shell.folder / seen(shell, command, SHEET).strip()).is_file()
    assert seen(shell, "purge", "--older-than", "1d") == "Nothing to delete.\n"


def test_lists_are_bounded_and_fit(shell: Shell, tmp_path: Path) -> None:
    few(tmp_path / SHEET, 30)
    shell.run("run", SHEET, *OF_SHEET, "--yes")
    access = seen(shell, "access", is_list=True)
    assert re.search(r"^30 leads are shared with \d+ users; the first share ends ", access, re.MULTILINE)
    assert "\nand 10 more: --json lists all\n" in access
    for _ in range(2):
        shell.run("follow-up", SHEET)
    runs = seen(shell, "runs", "--limit", "2", is_list=True)
    assert runs.count("follow-up") == 2
    assert runs.endswith("\nand older ones: --limit 4 lists more\n")
    seen(shell, "doctor", is_list=True)
    user = (tmp_path / SHEET).read_text().splitlines()[1].partition(",")[2]
    seen(shell, "verify", "869196", user, "--event", "201", "--yes", is_list=True)
    assert seen(shell, "login").startswith("batch-share: ")


def test_a_watch_says_what_it_watches(shell: Shell, tmp_path: Path) -> None:
    (inbox := tmp_path / "in box").mkdir()
    options = ("--settle", "0.1s", "--every", "0.1s", "--yes", *OF_SHEET)
    with shell.start("watch", "in box", *options, COLUMNS=str(COLUMNS)) as process:
        wait_until((inbox / ".batch-share-watch.lock").exists)
        few(inbox / "one.csv", 2)
        wait_until((inbox / "done").is_dir)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=DEADLINE)
    fits(err)
    assert err.startswith("batch-share: Watching in box: sheets dropped there are run. Ctrl-C stops it.\n")
    assert out.startswith("one.csv: 2 shared (exit 0); in in box/done")
