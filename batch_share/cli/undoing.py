"""The commands for what went wrong: try failed rows again, take shares back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from batch_share.cli.options import (
    Bulk,
    BulkRate,
    DailyLimit,
    Json,
    LedgerFile,
    MaxRevokes,
    NoFollowUp,
    NotifyOption,
    OnUnknown,
    Rate,
    Rows,
    ShareBatch,
    StopAfterFailures,
    StopAt,
    TrustMarker,
    TrustOwner,
    Verbose,
    Wait,
    Workers,
    Yes,
    load_given,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from batch_share.jobs.job import Ending
    from batch_share.sending.onlookers import Watcher


def retry(
    ledger: LedgerFile,
    reason: Annotated[
        Optional[str], typer.Option(metavar="TEXT", help="Only rows whose reason holds this text.")
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Also rows that can hardly go better: a lead that is not there.")
    ] = False,
    rate: Rate = None,
    daily_limit: DailyLimit = None,
    bulk: Bulk = False,
    bulk_rate: BulkRate = None,
    share_batch: ShareBatch = None,
    workers: Workers = None,
    wait: Wait = None,
    no_follow_up: NoFollowUp = False,
    trust_owner: TrustOwner = False,
    on_unknown: OnUnknown = None,
    trust_marker: TrustMarker = False,
    stop_after_failures: StopAfterFailures = None,
    stop_at: StopAt = None,
    max_revokes: MaxRevokes = None,
    notify: NotifyOption = None,
    yes: Yes = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Try the failed rows of LEDGER again.

    Each goes on from the step that failed: a row whose activity stands is only shared. Where the reason lies in
    the row itself, such as a lead that is not there, it is left alone, unless --all is given.

    Example: batch-share retry leads.csv.ledger.db --reason timeout
    """
    from batch_share.cli.notifying import Notifier
    from batch_share.cli.screen import Display
    from batch_share.cli.work import finish
    from batch_share.library import BatchShare

    settings = load_given(locals())
    display = Display(yes=yes, json=json)

    def job(watcher: Watcher) -> Coroutine[Any, Any, Ending]:
        return BatchShare(settings, watcher=watcher).retry(ledger, reason=reason, everything=all_)

    raise typer.Exit(
        finish(job, display, settings, Notifier(settings.notify, "retry", ledger, ledger), verbose=verbose)
    )


def revoke(
    ledger: LedgerFile,
    rows: Rows = None,
    user: Annotated[
        Optional[str], typer.Option(metavar="USER", help="Only shares with this user: an Id or e-mail address.")
    ] = None,
    rate: Rate = None,
    daily_limit: DailyLimit = None,
    workers: Workers = None,
    wait: Wait = None,
    no_follow_up: NoFollowUp = False,
    notify: NotifyOption = None,
    yes: Yes = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Take back what LEDGER shared, and see that it is gone. It always asks first.

    Shares that have ended by themselves are left alone. The same command again goes on where it stopped.

    Example: batch-share revoke leads.csv.ledger.db --rows 5-40
    """
    from batch_share.cli.notifying import Notifier
    from batch_share.cli.screen import Display
    from batch_share.cli.work import finish
    from batch_share.library import BatchShare

    settings = load_given(locals())
    display = Display(yes=yes, json=json, ask_above=0)

    def job(watcher: Watcher) -> Coroutine[Any, Any, Ending]:
        return BatchShare(settings, watcher=watcher).revoke(ledger, rows=rows, user=user)

    raise typer.Exit(
        finish(job, display, settings, Notifier(settings.notify, "revoke", ledger, ledger), verbose=verbose)
    )
