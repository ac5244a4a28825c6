"""A sheet, a sandbox in this process, and the jobs run between them, in a hurry."""

from __future__ import annotations

import asyncio
import csv
import json
import sqlite3
from collections import Counter
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ledgers import seen_in_words
from pydantic import SecretStr

from batch_share.common import Rate
from batch_share.jobs.job import Ending, Kind, do
from batch_share.jobs.revoke import Revoke
from batch_share.jobs.run import AuditLedger, FollowUp, Reconcile, Resume, RetryFailed, RunSheet, Wanted
from batch_share.ledger.files import LedgerName
from batch_share.planning.intake import SheetJob
from batch_share.sandbox import Sandbox, SandboxOptions, World
from batch_share.sandbox.account import Clock
from batch_share.sandbox.sheets import active_users
from batch_share.sandbox.wire import Reply
from batch_share.sending.session import Stop
from batch_share.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from types import MethodType

    import pytest

    from batch_share.common import Holder
    from batch_share.ledger.states import State
    from batch_share.results.wording import Summary
    from batch_share.sandbox.wire import SandboxCall
    from batch_share.sending.onlookers import Doubt, Outlook, Preview, Progress
    from batch_share.sending.session import Connection

    Step = Callable[[SandboxCall], Awaitable[Reply]]
    Wrapper = Callable[[Step, SandboxCall], Awaitable[Reply]]

T = TypeVar("T")

FAST = Rate(500, 0.1)
UNCHANGED: Any = {"stop_after_failures": Settings.model_fields["stop_after_failures"].default}
"""What a trial has as a person has it who sets nothing: else its runs stop at no failures."""

KEY, SECRET = "the-access-key-of-the-trial", "the-secret-key-of-the-trial"
REVOKE = "EntityAccess.svc/Revoke"
CREATE, SHARE, STATUS = "ProspectActivity.svc/Create", "EntityAccess.svc/Share", "EntityAccess.svc/Status/Get"
BULK = "ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId"
OF_LEAD = "ProspectActivity.svc/Retrieve"
OF_TYPE = "ProspectActivity.svc/CustomActivity/RetrieveByActivityEvent"
DROPPED = Reply(200, b"", drop=True)
HEADER = ("Lead Id", "Lead Number", "User Id", "Access", "Duration", "Activity Event")


def options(**changes: Any) -> SandboxOptions:
    """A sandbox that processes at once and hardly limits."""
    values: dict[str, Any] = {"port": 0, "rate": FAST, "bulk_rate": FAST, "processing": 0.0}
    values |= {"access_key": KEY, "secret_key": SECRET}
    return SandboxOptions(**values | changes)


def sheet_rows(count: int, world: World | None = None) -> list[list[str]]:
    """Rows of as many leads, with the users in turn."""
    world = world or World()
    users = active_users(world)
    return [
        [lead.id, str(lead.number), users[at % 5].id, ("read", "write")[at % 2], "7d", "201"]
        for at, lead in enumerate(world.leads[:count])
    ]


@dataclass(slots=True)
class Onlooker:
    """Agrees to everything, and does `during` once calls are made."""

    during: Callable[[Connection], None] | None = None
    previews: list[Preview] = field(default_factory=list)
    connection: Connection | None = None
    waited_for: list[int | None] = field(default_factory=list)
    sure: bool = False
    doubts: list[Doubt] = field(default_factory=list)
    outlooks: list[Outlook] = field(default_factory=list)

    def foresee(self, outlook: Outlook) -> None:
        """Keep it."""
        self.outlooks.append(outlook)

    def wait_turn(self, holder: Holder) -> None:
        """Keep whom it waits for."""
        self.waited_for.append(holder.process)

    def agree(self, preview: Preview) -> bool:
        """Keep the preview and say yes."""
        self.previews.append(preview)
        return True

    def is_sure(self, doubt: Doubt) -> bool:
        """Keep the doubt and answer as the test says."""
        self.doubts.append(doubt)
        return self.sure

    def watch(
        self,
        progress: Callable[[], Progress],
        stop: Callable[[], None],
    ) -> AbstractAsyncContextManager[None]:
        """Keep the connection for the test, which may look behind what is public."""
        return self._watch(cast("Connection", cast("MethodType", progress).__self__))

    @asynccontextmanager
    async def _watch(self, session: Connection) -> AsyncIterator[None]:
        self.connection = session
        if self.during is not None and self.previews:
            self.during(session)
        yield


class Samples(Onlooker, Generic[T]):
    """Keeps what `look` sees twice a second while calls are made, once they are agreed to."""

    def __init__(self, look: Callable[[Connection], T]) -> None:
        super().__init__(self._begin)
        self._look = look
        self.seen: list[T] = []
        self._tasks: list[asyncio.Task[None]] = []

    def _begin(self, connection: Connection) -> None:
        self._tasks.append(asyncio.create_task(self._sample(connection)))

    async def _sample(self, connection: Connection) -> None:
        while True:
            self.seen.append(self._look(connection))
            await asyncio.sleep(0.5)


class Refuses(Onlooker):
    """Looks, and says no."""

    def agree(self, preview: Preview) -> bool:
        """Keep the preview and say no."""
        return not super().agree(preview)


def ask_to_stop(onlooker: Onlooker) -> None:
    """What Ctrl-C does while calls are made."""
    assert onlooker.connection is not None
    onlooker.connection.stop.ask()


def stopping(onlooker: Onlooker) -> Wrapper:
    """A wrapper during whose call a person presses Ctrl-C; it is answered all the same."""

    async def stop(step: Step, call: SandboxCall) -> Reply:
        ask_to_stop(onlooker)
        return await step(call)

    return stop


class PutForward(Clock):
    """The loop's clock, which a test can put forward: what is to take long ends when the test says so."""

    ahead = 0.0

    def time(self) -> float:
        """The loop's time and what it was put forward by."""
        return super().time() + self.ahead


@dataclass(slots=True)
class Trial:
    """A folder with a sheet, and what is to be run with which settings."""

    folder: Path
    sandbox: Sandbox
    changes: dict[str, Any] = field(default_factory=dict)
    made: list[tuple[dict[str, Any], Settings]] = field(default_factory=list)

    @property
    def ledger(self) -> Path:
        """Where the ledger is."""
        return self.folder / "leads.csv.ledger.db"

    @property
    def name(self) -> LedgerName:
        """What the ledger is called."""
        return LedgerName.of_sheet(self.folder / "leads.csv", self.changes.get("store"))

    def write(self, rows: Sequence[Sequence[str]]) -> None:
        """Write the sheet."""
        with (self.folder / "leads.csv").open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([HEADER, *rows])

    def settings(self, **changes: Any) -> Settings:
        """Settings that point to the sandbox."""
        values: dict[str, Any] = {
            "access_key": SecretStr(KEY),
            "secret_key": SecretStr(SECRET),
            "rate": FAST,
            "bulk_rate": FAST,
            "workers": 6,
            "wait": 0.0,
            "grace": 0.0,
            "audit_pages": 0,  # a test counts the calls that it is about
            "stop_after_failures": 0,  # tests let rows fail on purpose; what is in force otherwise is UNCHANGED
            "state_folder": self.folder / "state",
            "data_folder": self.folder / "data",
            "log_folder": self.folder / "log",
        }
        values |= self.changes | changes
        values["host"] = values.get("host") or self.sandbox.url
        for same, settings in self.made:  # to make them takes a tenth of a run
            if same == values:
                return settings
        self.made.append((values, settings := Settings(**values)))
        return settings

    async def do(self, job: Kind, onlooker: Onlooker | None = None, **changes: Any) -> Ending:
        """Do any job, with these settings other than the trial's."""
        return await do(job, self.settings(**changes), onlooker or Onlooker())

    async def run(self, onlooker: Onlooker | None = None, **changes: Any) -> Ending:
        """Run the sheet."""
        return await self.do(RunSheet(SheetJob(self.folder / "leads.csv", self.name)), onlooker, **changes)

    async def resume(self, onlooker: Onlooker | None = None, **changes: Any) -> Ending:
        """Go on without the sheet."""
        return await self.do(Resume(self.name), onlooker, **changes)

    async def reconcile(self, **changes: Any) -> Ending:
        """Settle the unknown rows alone."""
        return await self.do(Reconcile(self.name), **changes)

    async def retry(self, wanted: Wanted | None = None, onlooker: Onlooker | None = None, **changes: Any) -> Ending:
        """Try failed rows again."""
        return await self.do(RetryFailed(self.name, wanted or Wanted()), onlooker, **changes)

    async def revoke(
        self, onlooker: Onlooker | None = None, rows: str | None = None, user: str | None = None, **changes: Any
    ) -> Ending:
        """Revoke shares."""
        return await self.do(Revoke(self.name, rows, user), onlooker, **changes)

    async def audit(self, **changes: Any) -> dict[str, Any]:
        """Hold the ledger against the sandbox now; what was found."""
        await self.do(AuditLedger(self.name), **changes)
        return self.audited()

    def audited(self) -> dict[str, Any]:
        """What the last audit found, by the ledger."""
        ((found,),) = self.query("SELECT value FROM about WHERE name = 'audit'")
        return cast("dict[str, Any]", json.loads(found))

    def put_forward(self, seconds: float) -> None:
        """Let the sandbox's clock go ahead."""
        assert isinstance(self.sandbox.clock, PutForward)
        self.sandbox.clock.ahead += seconds

    def live(self) -> int:
        """How many shares stand at the sandbox."""
        return int(self.sandbox.report()["live_shares"]["count"])

    async def follow_up(self, onlooker: Onlooker | None = None, **changes: Any) -> Ending:
        """Follow up alone."""
        return await self.do(FollowUp(self.name), onlooker, **changes)

    def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        """The ledger's rows, in the sheet's order, seen from outside."""
        return self.query(f"SELECT {', '.join(columns)} FROM rows ORDER BY position")

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the ledger from outside; of its rows also the reason and the notice, in words for people."""
        return seen_in_words(self.name, statement)

    def change(self, statement: str) -> None:
        """Change the ledger from outside, while nobody works on it."""
        with closing(sqlite3.connect(self.ledger)) as connection:
            connection.execute(statement)
            connection.commit()

    def sent(self, endpoint: str) -> list[dict[str, Any]]:
        """The calls of one endpoint that the sandbox saw."""
        return [call for call in self.sandbox.journal.since(0) if call["endpoint"] == endpoint]

    def leads_sent(self) -> list[str]:
        """The leads that an activity was posted on, each as often as it was."""
        return [call["lead"] for call in self.sent(CREATE) if call["outcome"] == "done"]


def altogether(summary: Summary) -> dict[State, int]:
    """How many rows are in each state, those of earlier sheets included."""
    return dict(Counter(summary.states) + Counter(summary.earlier))


def hurry(monkeypatch: pytest.MonkeyPatch, longest: float) -> None:
    """No wait of the program's own is longer than this."""
    sleep = Stop.sleep

    async def briefly(stop: Stop, seconds: float) -> None:
        await sleep(stop, min(seconds, longest))

    monkeypatch.setattr(Stop, "sleep", briefly)


@asynccontextmanager
async def trial(folder: Path, *faults: Wrapper, rows: int = 12, **changes: Any) -> AsyncIterator[Trial]:
    """A trial with a sheet of `rows` rows."""
    async with Sandbox(options(**changes), PutForward(), wrappers=faults) as sandbox:
        made = Trial(folder, sandbox)
        made.write(sheet_rows(rows, sandbox.world))
        yield made


def answer(status: int, body: str, content_type: str = "application/json") -> Reply:
    """Whatever a server may say."""
    return Reply(status, body.encode(), content_type=content_type)


def envelope(status: int, words: str, kind: str = "MXSomeException") -> Reply:
    """LeadSquared's error envelope."""
    return answer(status, json.dumps({"Status": "Error", "ExceptionType": kind, "ExceptionMessage": words}))


@dataclass(slots=True)
class Fault:
    """Answers certain calls of `endpoint`, by number from 1, with `reply`; `applied`: after they took effect.

    A `reply` that is a wrapper itself decides about both.
    """

    endpoint: str
    numbers: Sequence[int]
    reply: Reply | Wrapper
    applied: bool = False
    seen: int = 0

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """A wrapper of the sandbox."""
        if call.endpoint != self.endpoint:
            return await step(call)
        self.seen += 1
        if self.seen not in self.numbers:
            return await step(call)
        if not isinstance(self.reply, Reply):
            return await self.reply(step, call)
        if self.applied:
            await step(call)
        else:
            call.outcome = "fault"
        return self.reply
