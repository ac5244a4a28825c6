"""The commands that read sheets, send, and revoke. Each names its options; `work` and `library` do the rest.

What is heavy to import is imported inside them, so that `--help` answers at once.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from batch_share.cli.options import Given, LedgerNamed, LedgerNamedIfAny, Sheet, sheet_options, takes
from batch_share.errors import SettingsError

_SHEET = ("account", "event", "access", "duration", "worksheet", "map", "rate", "bulk", "set")
_PART = ("rows", "limit", "only", "renew", "force", "ledger")
_SHOWN = ("json", "verbose")


@takes(*_SHEET, *_PART, "online", "output", "save", "save_map", "json")
def plan(sheet: Sheet, given: Given) -> int:
    """Show what a run of SHEET would do, and send nothing. Without --online no call is made at all.

    Example: batch-share plan leads.csv --event 201 --duration 7d
    """
    import asyncio
    import gc

    from batch_share.cli.plan import show_plan
    from batch_share.cli.work import TerminalWatcher
    from batch_share.library import BatchShare
    from batch_share.planning.overview import PlanFiles

    settings, online = given.settings(), given["online"]
    options = sheet_options(given, settings)
    files = PlanFiles(given["output"], given["save"], given["save_map"])
    library = BatchShare(settings, watcher=TerminalWatcher(json=given["json"]))
    gc.freeze()  # what was imported stays: it is not looked through again with every few thousand rows
    seen = asyncio.run(library.plan(sheet, options, ledger=given["ledger"], online=online, files=files))
    written = [file for file in (files.output, files.save, files.save_map) if file is not None]
    words = ["batch-share", "run", str(sheet), *given.typed(*_SHEET, *_PART)]
    then = shlex.join([*words, "--plan", str(files.save)] if files.save is not None else words)
    return show_plan(seen, online=online, json=given["json"], files=written, then=then)


@takes(*_SHEET, *_PART, *_SHOWN, "plan", "if_changed", "canary", "yes")
def run(sheet: Sheet, given: Given) -> int:
    """Share every lead of SHEET with its user, and write the results.

    It checks that each share was processed, and writes the results beside the sheet. Run the same command again to
    resume where it stopped: nothing is repeated.

    Example: batch-share run leads.csv --event 201 --duration 7d
    """
    from batch_share.cli.work import Work

    work = Work("run", sheet, given)
    ledger = work.ledger
    options = sheet_options(given, work.settings)
    if given["if_changed"] and work.is_at_rest(work.library.unchanged(sheet, options, ledger=ledger)):
        return 0
    return work.do(lambda library: library.run(sheet, options, ledger=ledger, approved=given["plan"]))


@takes(*_SHOWN, "account", "only_unknown", "due", "rate", "bulk", "renew", "force", "set", "canary", "yes", "queue")
def resume(ledger: LedgerNamed, given: Given) -> int:
    """Resume LEDGER where its run stopped. The sheet is not needed, and nothing is repeated.

    Rows that wait for their start are sent once it has come. --only-unknown looks up the activities of unknown
    rows, posts again those that never arrived, and shares them; nothing else is sent.

    Example: batch-share resume leads.csv.ledger.db
    """
    if given["queue"]:
        from batch_share.cli.cluster import hand_over

        return hand_over("resume", ledger, given, only_unknown=given["only_unknown"])
    from batch_share.cli.work import Work

    work = Work("resume", ledger, given)
    if given["due"] and work.is_at_rest(work.library.nothing_due(ledger)):
        return 0
    return work.do(lambda library: library.resume(ledger, only_unknown=given["only_unknown"]))


@takes(*_SHOWN, "account", "reason", "all", "rate", "bulk", "set", "yes", "queue")
def retry(ledger: LedgerNamed, given: Given) -> int:
    """Try the failed rows of LEDGER again.

    Each resumes at the step that failed: a row whose activity exists is only shared. Rows that failed for a reason
    of their own, such as a lead that does not exist, are left alone unless --all is given.

    Example: batch-share retry leads.csv.ledger.db --reason timeout
    """
    if given["queue"]:
        from batch_share.cli.cluster import hand_over

        return hand_over("retry", ledger, given, reason=given["reason"], everything=given["all"])
    from batch_share.cli.work import Work

    work = Work("retry", ledger, given)
    return work.do(lambda library: library.retry(ledger, reason=given["reason"], everything=given["all"]))


@takes(*_SHOWN, "account", "rows", "user", "all_jobs", "rate", "set", "yes", "queue")
def revoke(given: Given, ledger: LedgerNamedIfAny = None) -> int:
    """Revoke what LEDGER shared, and check that it is gone. It always asks first.

    Shares that have ended by themselves are left alone. Run the same command again to resume where it stopped.

    Example: batch-share revoke leads.csv.ledger.db --rows 5-40
    """
    if given["all_jobs"]:
        from batch_share.cli.work import revoke_all_jobs

        wrong = ""
        if ledger is not None:
            wrong = f"it revokes by every ledger of this machine: leave out {ledger}"
        elif given["user"] is None:
            wrong = "it revokes what one user has: say whose, as in --user asha@example.com"
        elif given["rows"] is not None:
            wrong = "rows are of one sheet: leave out --rows, or name its LEDGER"
        elif given["queue"]:
            wrong = "what workers are handed is of one ledger: leave out --queue, or name a LEDGER"
        if wrong:
            raise SettingsError(
                "--all-jobs", wrong, problem="Across all jobs, only all that one user has can be revoked."
            )
        return revoke_all_jobs(given)
    if ledger is None:
        raise SettingsError(
            "LEDGER",
            "name the ledger of a run, or revoke what a --user has with --all-jobs",
            problem="No ledger was named.",
        )
    if given["queue"]:
        from batch_share.cli.cluster import hand_over

        return hand_over("revoke", ledger, given, rows=given["rows"], user=given["user"])
    from batch_share.cli.work import Work

    work = Work("revoke", ledger, given, ask_above=0)
    return work.do(lambda library: library.revoke(ledger, rows=given["rows"], user=given["user"]))


@takes(*_SHOWN, "account", "rate", "wait", "set", "queue")
def follow_up(ledger: LedgerNamed, given: Given) -> int:
    """Check what became of the accepted shares of LEDGER. It writes the results again.

    Example: batch-share follow-up leads.csv.ledger.db --wait 30s
    """
    if given["queue"]:
        from batch_share.cli.cluster import hand_over

        return hand_over("follow_up", ledger, given)
    from batch_share.cli.work import Work

    work = Work("follow-up", ledger, given)
    return work.do(lambda library: library.follow_up(ledger))


@takes(*_SHEET, "once", "every", "settle", "yes")
def watch(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that sheets are dropped into.")],
    given: Given,
) -> int:
    """Run every sheet that is dropped into FOLDER, until Ctrl-C.

    It takes a sheet once it is fully written, works on it in working/, and moves it with its ledger and results to
    done/ or failed/. What needs confirming goes to held/, and is sent once you move it to agreed/.

    Example: batch-share watch inbox --event 201 --duration 7d --yes
    """
    from batch_share.cli.work import watch_inbox

    settings, once = given.settings(), given["once"]
    every, settle = given["every"] or "10s", given["settle"] or "5s"
    options = sheet_options(given, settings)
    return watch_inbox(folder, options, settings, every=every, settle=settle, once=once, yes=given["yes"])
