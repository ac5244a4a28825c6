"""Telling others, by the setting `notify`, how a command ended; whatever comes of that is one line, and no more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from batch_share.errors import BatchShareError, SettingsError, SheetError
from batch_share.results.summary import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

    from batch_share.jobs.job import Ending
    from batch_share.results.summary import Summary


@dataclass(frozen=True, slots=True)
class Notifier:
    """Tells `target`, None for nobody, about a `command` on `subject`, the sheet or the ledger."""

    target: SecretStr | None
    command: str
    subject: Path
    ledger: Path

    def check(self) -> None:
        """Raises SettingsError, before anything is done, for a file that nothing should be added to."""
        from batch_share.results.notify import check_target

        if self.target is not None:
            check_target(self.target)

    def ended(self, ending: Ending) -> None:
        """It came to its end, or an error or a person stopped it on the way."""
        from batch_share.results.notify import DONE, INTERRUPTED, why_stopped

        ended = INTERRUPTED if ending.interrupted else DONE
        if ending.error is not None:
            ended = why_stopped(ending.error)
        self._tell(ended, ending.exit_code, ending.summary)

    def failed(self, error: BatchShareError) -> None:
        """It could not be begun."""
        from batch_share.results.notify import why_stopped

        usage = isinstance(error, SheetError | SettingsError)
        self._tell(why_stopped(error), ExitCode.USAGE if usage else ExitCode.NOT_DONE, None)

    def cut(self) -> None:
        """A person cut it in the middle of a call."""
        from batch_share.results.notify import CUT

        self._tell(CUT, ExitCode.INTERRUPTED, None)

    def _tell(self, ended: str, code: ExitCode, summary: Summary | None) -> None:
        if self.target is None:
            return
        try:
            problem = asyncio.run(self._told(self.target, ended, code, summary))
        except (KeyboardInterrupt, asyncio.CancelledError):
            problem = "Telling others how it ended was interrupted. The run itself is not changed by that."
        if problem:
            typer.echo(f"batch-share: {problem}", err=True)

    async def _told(self, target: SecretStr, ended: str, code: ExitCode, summary: Summary | None) -> str | None:
        from batch_share.results.notify import Notice, tell

        known = summary or await self._known()
        at = datetime.now(UTC).replace(tzinfo=None)
        return await tell(target, Notice(self.command, self.subject, ended, code, at, known))

    async def _known(self) -> Summary | None:
        """The totals of the ledger, if it has any."""
        from batch_share.jobs.outputs import status_of

        try:
            return await status_of(self.ledger)
        except BatchShareError:
            return None
