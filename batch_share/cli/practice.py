"""The commands for practice: `sandbox` and `demo`. What they do is in `rehearsal`, which is heavy to import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer


def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8080,
    limit: Annotated[str, typer.Option(help="Calls it allows.")] = "25/5s",
    bulk_limit: Annotated[str, typer.Option(help="Bulk calls it allows, which count as calls too.")] = "1/5s",
    share_batch: Annotated[int, typer.Option(min=1, help="Shares that it takes in one call.")] = 25,
    window: Annotated[str, typer.Option(help="How it counts them: sliding or fixed.")] = "sliding",
    latency: Annotated[str, typer.Option(help="How long a call takes.")] = "150ms",
    processing: Annotated[str, typer.Option(help="How long a share takes to be processed.")] = "3s",
    reject_as: Annotated[str, typer.Option(help="How it says “too many calls”: 429, 403 or 200.")] = "429",
    fail: Annotated[float, typer.Option(min=0, max=1, help="Share of the requests whose processing fails.")] = 0.0,
    ignore_owner: Annotated[
        bool, typer.Option("--ignore-owner", help="Ignore the owner field of activities.")
    ] = False,
    hide_owner: Annotated[bool, typer.Option("--hide-owner", help="Show nobody's owner of an activity.")] = False,
    hide_note: Annotated[bool, typer.Option("--hide-note", help="Show nobody the note of an activity.")] = False,
    read_lag: Annotated[str, typer.Option(help="How long a new activity is not shown by reads.")] = "0s",
    refuse_in: Annotated[bool, typer.Option("--refuse-in", help="Refuse the operator IN in look-ups.")] = False,
    refuse: Annotated[
        Optional[list[str]], typer.Option(metavar="API", help="Refuse an API whole, such as Users.Get.")
    ] = None,
    without: Annotated[
        Optional[str],
        typer.Option(metavar="API,…", help="APIs that it does not have: ByIds,Users, …; helpers: hardly any."),
    ] = None,
    dialect: Annotated[str, typer.Option(help="How its answers are written.")] = "plain",
    owners: Annotated[
        str, typer.Option(help="What it shows as an activity's owner: id, email, name, or both name and Ids.")
    ] = "id",
    paging: Annotated[
        str, typer.Option(help="How it lists activities: usual, ignored, oldest-first or page-count.")
    ] = "usual",
    one_request_id: Annotated[
        bool,
        typer.Option("--one-request-id", help="Let a cache answer all Shares but the first, with that one's Id."),
    ] = False,
    listed_users: Annotated[
        Optional[int], typer.Option(min=0, help="List only so many users, as large accounts may.")
    ] = None,
    faults: Annotated[
        Optional[str], typer.Option(help="What goes wrong how often, such as applied-reset=2%,Create:503=1%.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which leads and users it has, and which calls go wrong.")] = 1,
    replay: Annotated[
        Optional[Path],
        typer.Option(
            help="Answer as the account did that this wire log is of; the sheet to run is written beside it."
        ),
    ] = None,
) -> None:
    """Start an imitation LeadSquared here, to rehearse on. Ctrl-C ends it.

    --faults takes, with commas between them, KIND=PERCENT%, or ENDPOINT:KIND=PERCENT% for one endpoint: Create,
    Share, Status, Retrieve, Revoke, Bulk, Leads, Users, or the last part of another's path. Not done, and the
    answer says so: error-envelope, failed, throttle-200, 400, 401, 403, 404, 429, 429-retry-after, 500-mx. Not
    done, and nobody can tell: bad-json, no-id, html, truncated, 204, 302, 500, 502, 503, 504, reset, silent,
    refused; with applied- before it, it is done. Done, and oddly answered: wrong-type, slow. Of Status alone:
    pending, unknown-number, id-gone. Of Bulk alone: shuffled, unnumbered, item-missing, item-doubled,
    misnumbered, unsaid, applied-500-mx. Done, and denied: applied-404, and with the Id of what was made, of Create,
    Share and Revoke alone, failed-with-id and error-with-id.

    --without takes such endpoints, and helpers: all but Create, Share, Status and Revoke.

    --dialect is plain, or for names in another case lower, upper, swapped (ID and Id); for values texts (no
    numbers), nulls (for what is left out); for lists wrapped (none is bare), single (no list of one); for the
    whole answer bom (a byte order mark first), typeless (no Content-Type).

    --paging ignored lists the first page whichever is asked for; page-count counts the page, not all there are.

    Example: batch-share sandbox --port 8080 --limit 25/5s --latency 150ms
    """
    given = locals()
    from batch_share.cli.rehearsal import serve_sandbox

    serve_sandbox(**given)


def demo(
    sheets: Annotated[
        Optional[list[Path]],
        typer.Argument(metavar="[SHEET]...", help="Sheets to run; made up, if none are given."),
    ] = None,
    folder: Annotated[
        Optional[Path], typer.Option(help="Where the files go. Default: a new temporary folder.")
    ] = None,
    limit: Annotated[str, typer.Option(help="Calls that the sandbox allows; the real API: 25/5s.")] = "25/1s",
) -> int:
    """Run sheets against a sandbox of its own, to see a real run. It goes from plan to results.

    Example: batch-share demo
    """
    from batch_share.cli.rehearsal import run_demo

    return run_demo(sheets or [], folder, limit)
