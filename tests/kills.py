"""Where a process dies: the points at which a crash could lose or repeat something.

Twelve of a run: five for the activity, the same five for the share, and two after them. Nine of `revoke`, and six
of `retry`. Those in the network or at the server are hit by the sandbox (`Killer`), the others by the process.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine.default import DefaultDialect
from trial import BULK, CREATE, DROPPED, REVOKE, SHARE

from batch_share.ledger.states import Stage, State
from batch_share.ledger.store import Ledger
from batch_share.results import answers, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trial import Step

    from batch_share.ledger.records import Result, Row
    from batch_share.sandbox.wire import Reply, SandboxCall

WHERE = {Stage.ACTIVITY: {CREATE, BULK}, Stage.SHARE: {SHARE}, Stage.REVOKE: {REVOKE}}
LEARNED = {Stage.ACTIVITY: "activity_id", Stage.SHARE: "request_id", Stage.REVOKE: "revoke_id"}
AT_THE_SERVER = ("sent-not-applied", "applied-not-answered")
OF_A_CALL = ("before-intent", "after-intent", *AT_THE_SERVER, "answered-not-recorded")
AT_THE_END = ("status-recorded", "results-renamed")
POINTS = (*(f"{stage}:{point}" for stage in (Stage.ACTIVITY, Stage.SHARE) for point in OF_A_CALL), *AT_THE_END)
OF_REVOKE = ("put-back", *(f"{Stage.REVOKE}:{point}" for point in (*OF_A_CALL, "recorded")), *AT_THE_END)
OF_RETRY = (
    "put-back",
    "activity:before-intent",
    "activity:applied-not-answered",
    "share:before-intent",
    "share:after-intent",
    "share:applied-not-answered",
)


def die() -> None:
    """End this process as `kill -9` does: nothing is flushed, closed or told."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(kill: Any) -> None:
    """Make this process die at the n-th hit of a point, `kill` being both; None: let it live."""
    if kill is None:
        return
    point, number = kill
    hits = iter(range(1, 1_000_000))

    def hit() -> None:
        if next(hits) == number:
            die()

    stage, _, where = point.rpartition(":")
    if point == "commit":
        _arm_commit(hit)
    elif point == "status-recorded":
        _arm_status(hit)
    elif point == "results-renamed":
        _arm_results(number)
    elif point == "put-back":
        _arm_put_back(hit)
    elif where in {"answered-not-recorded", "recorded"}:
        _arm_settle(Stage(stage), hit, before=where == "answered-not-recorded")
    else:
        _arm_intend(Stage(stage), hit, before=where == "before-intent")


def _arm_intend(step: Stage, hit: Callable[[], None], *, before: bool) -> None:
    intend = Ledger.intend

    async def dies(self: Ledger, rows: Sequence[Row], stage: Stage, markers: Sequence[str | None]) -> list[int]:
        if stage is step and before:
            hit()
        attempts = await intend(self, rows, stage, markers)
        if stage is step and not before:
            hit()
        return attempts

    Ledger.intend = dies  # type: ignore[method-assign, assignment]


def _arm_settle(step: Stage, hit: Callable[[], None], *, before: bool) -> None:
    settle = Ledger.settle

    async def dies(self: Ledger, attempts: Sequence[int], rows: Sequence[Row], results: Sequence[Result]) -> None:
        is_done = any(result.outcome == "done" and LEARNED[step] in result.learned for result in results)
        if is_done and before:
            hit()
        await settle(self, attempts, rows, results)
        if is_done and not before:
            hit()

    Ledger.settle = dies  # type: ignore[method-assign, assignment]


def _arm_put_back(hit: Callable[[], None]) -> None:
    """After rows were chosen to be tried again or revoked, before any call."""
    try_again, undo = Ledger.try_again, Ledger.undo

    async def dies_trying_again(self: Ledger, *rest: Any) -> None:
        await try_again(self, *rest)
        hit()

    async def dies_undoing(self: Ledger, *rest: Any) -> None:
        await undo(self, *rest)
        hit()

    Ledger.try_again = dies_trying_again  # type: ignore[method-assign, assignment]
    Ledger.undo = dies_undoing  # type: ignore[method-assign, assignment]


def _arm_commit(hit: Callable[[], None]) -> None:
    """After a commit is written, before anybody is told."""
    commit: Callable[..., None] = DefaultDialect.do_commit

    def dies(self: DefaultDialect, connection: Any) -> None:
        commit(self, connection)
        hit()

    DefaultDialect.do_commit = dies  # type: ignore[method-assign]


def _arm_status(hit: Callable[[], None]) -> None:
    note = Ledger.note_status

    async def dies(self: Ledger, *rest: Any) -> tuple[int, State, Result]:
        noted = await note(self, *rest)
        hit()
        return noted

    Ledger.note_status = dies  # type: ignore[method-assign, assignment]


def _arm_results(number: int) -> None:
    """While they are written, before they are renamed, or after: there is but one file."""
    write, replace = writing.write_csv, Path.replace

    async def dies_writing(*arguments: Any) -> None:
        if number == 1 and arguments[1][-len(answers.COLUMNS) :] == [*answers.COLUMNS]:  # no sheet of failed rows
            arguments[0].write_text("half a fi")
            die()
        await write(*arguments)

    def dies_renaming(self: Path, target: Path) -> Path:
        if ".results" not in Path(target).name:
            return replace(self, target)
        if number < 7:
            die()
        replace(self, target)
        die()
        raise AssertionError

    vars(answers)["write_csv"] = dies_writing
    Path.replace = dies_renaming  # type: ignore[method-assign, assignment]


class Killer:
    """A wrapper of the sandbox: kills the caller at the n-th call of a step, before or after it takes effect."""

    def __init__(self, point: str, number: int) -> None:
        stage, _, self._where = point.rpartition(":")
        self._endpoints = WHERE[Stage(stage)]
        self._number = number
        self._hits = 0
        self.pid = 0

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """Kill, and never answer."""
        if call.endpoint not in self._endpoints or not self.pid:
            return await step(call)
        self._hits += 1
        if self._hits != self._number:
            return await step(call)
        if self._where == "applied-not-answered":
            await step(call)
        os.kill(self.pid, signal.SIGKILL)
        await asyncio.sleep(0)
        return DROPPED
