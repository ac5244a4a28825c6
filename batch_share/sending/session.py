"""What every step of a row works with: the ledger, the account, the way to stop, and the progress so far."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from batch_share.common import wait_for_event
from batch_share.errors import BatchShareError, LedgerError, SettingsError
from batch_share.leadsquared.account import Account, AccountMemory, Apis, BulkMemory, account_name, account_turn
from batch_share.leadsquared.client import Client
from batch_share.leadsquared.outcome import NotSent
from batch_share.leadsquared.pacing import Pacer, PacerClosed
from batch_share.leadsquared.protocol import Answer
from batch_share.proxy import proxy_for
from batch_share.sending.cost import Pace, ShareBatch
from batch_share.sending.guards import FailureGuard
from batch_share.sending.polls import Polls
from batch_share.sending.progress import Tally
from batch_share.settings import DEFAULT_BULK_RATE, DEFAULT_RATE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
    from pathlib import Path

    from batch_share.leadsquared.outcome import Lost
    from batch_share.leadsquared.pacing import Hold
    from batch_share.leadsquared.people import FoundUser
    from batch_share.leadsquared.protocol import Call
    from batch_share.ledger.records import Result
    from batch_share.ledger.states import Stage, State
    from batch_share.ledger.store import Ledger
    from batch_share.settings import Settings


class Waiter(Protocol):
    """Whoever may have to wait for the account."""

    def wait_turn(self, process: int | None) -> None:
        """The account is in use on this machine, by this process if that is known: called once, before waiting."""


class Form(StrEnum):
    """The ways in which an activity got its owner: by an earlier call, by a call of its own, by a bulk call."""

    EARLIER = "earlier"
    SINGLE = "single"
    BULK = "bulk"


class Stop:
    """The one way in which work ends early: no new calls, those under way are finished and noted.

    `error` is why, None when a person asked for it.
    """

    def __init__(self, pacer: Pacer) -> None:
        self._closers = [pacer.close]
        self._event = asyncio.Event()
        self.error: BatchShareError | None = None

    @property
    def asked(self) -> bool:
        """Whether the work is to end."""
        return self._event.is_set()

    def ask(self, error: BatchShareError | None = None) -> None:
        """End the work. The first error is kept."""
        if error is not None and self.error is None:
            self.error = error
        self._event.set()
        for close in self._closers:
            close()

    def also(self, close: Callable[[], None]) -> None:
        """Let this be closed as well when the work is to end."""
        self._closers.append(close)
        if self.asked:
            close()

    async def sleep(self, seconds: float) -> None:
        """Sleep, but no longer than until the work is to end."""
        await wait_for_event(self._event, seconds)


@contextmanager
def ending_early(stop: Stop) -> Iterator[None]:
    """A piece of work whose foreseeable errors end all work, in good order."""
    try:
        yield
    except PacerClosed:
        return
    except BatchShareError as error:
        stop.ask(error)


async def in_parallel(session: Connection, worker: Callable[[], Awaitable[None]], times: int | None = None) -> None:
    """Run `worker` as often as the session has workers, or `times`. One that fails ends all work, in order."""

    async def guarded() -> None:
        with ending_early(session.stop):
            await worker()

    async with asyncio.TaskGroup() as group:
        for _ in range(session.workers if times is None else times):
            group.create_task(guarded())


@dataclass(frozen=True, slots=True)
class Counted:
    """A call that is counted: as one of the account's on `day`, and of this process's `at` a moment of the loop."""

    day: str
    at: float


@dataclass(frozen=True)
class Connection:
    """One process's work on one account: the calls, their pace, the way to stop them."""

    settings: Settings
    client: Client
    pacer: Pacer
    stop: Stop
    tally: Tally
    memory: AccountMemory
    bulk_pacer: Pacer
    share_batch: ShareBatch
    apis: Apis

    def called(self) -> Counted:
        """One more call is about to leave: count it. Raises DailyLimitReached if it may not."""
        return Counted(self.memory.spend(self.settings.daily_limit), self.tally.called())

    async def send(self, call: Call, counted: Counted) -> Answer | NotSent | Lost:
        """Send a call that was counted. One that reached nobody was none, after all."""
        answer = await self.client.send(call)
        if isinstance(answer, Answer):
            self.tally.reached()
        if isinstance(answer, NotSent):
            self.memory.give_back(counted.day)
            self.tally.never_left(counted.at)
        return answer

    @property
    def hold(self) -> Hold | None:
        """For which refusal no call goes now; if others go, for which no bulk call does."""
        return self.pacer.hold or (self.bulk_pacer.hold if self.settings.bulk else None)

    @property
    def pace(self) -> Pace:
        """What the work's cost is reckoned by."""
        if not self.settings.bulk:
            return Pace(self.pacer.rate, self.settings.follow_up)
        return Pace(self.pacer.rate, self.settings.follow_up, self.bulk_pacer.rate, self.share_batch.most)

    @property
    def workers(self) -> int:
        """How many rows are under way at once: enough to fill the limit at a round trip of one second."""
        return self.settings.workers or max(2, round(self.pacer.rate.per_second) + 1)


@dataclass(frozen=True)
class Session(Connection):
    """One process's work on one account through one ledger; `only_looked_up`: for no other rows than those.

    `verified` are the activity types whose owner was checked, each with the form that it was posted in, and the one
    user for whom ("": for all); `shown`,
    with the path of each API and each type, the markers that were seen: those in notes (True), those in a custom
    field (False).
    `given` are the rows for which each Id was given lately, by step: no two calls have one. `listed` are the
    account's users, once they were asked for; `not_there` are requests whose status was answered 404.
    """

    ledger: Ledger
    polls: Polls
    guard: FailureGuard = field(default_factory=FailureGuard)
    only_looked_up: bool = False
    verified: dict[tuple[int, Form], str] = field(default_factory=dict)
    shown: set[tuple[str, int, bool]] = field(default_factory=set)
    given: dict[tuple[Stage, str], frozenset[int]] = field(default_factory=dict)
    listed: list[FoundUser] = field(default_factory=list)
    not_there: set[str] = field(default_factory=set)

    def saw(self, path: str, event: int, markers: Iterable[str]) -> None:
        """This API shows markers like these in this activity type: what it doesn't show is not there."""
        self.shown.update((path, event, marker.startswith("[")) for marker in markers)

    def moved(self, old: State, result: Result, rows: int = 1) -> None:
        """`rows` rows went from `old` to where `result` brings them: for the display and for the guard of failures.

        The one place for it, so that no failure goes uncounted; whoever is done with a call lets the guard check.
        """
        self.tally.moved(old, result.state, rows)
        self.guard.count(result, rows)

    @property
    def looked_up_in(self) -> int | None:
        """The run that must have looked up what is to be sent; None: everything is."""
        return self.ledger.run_id if self.only_looked_up else None


@asynccontextmanager
async def open_connection(settings: Settings, waiter: Waiter) -> AsyncIterator[Connection]:
    """Connect to the account, once no other process of this machine is.

    Raises SettingsError, BatchShareError if the state folder can't be written.
    """
    host, access_key, secret_key = settings.account()
    proxy = proxy_for(host, settings.proxy)
    file = _account_file(settings)
    async with account_turn(file, waiter.wait_turn):
        with AccountMemory(file) as memory:
            if settings.calls_when_closed:
                memory.open_again()
            known = memory.account
            pacer = Pacer(settings.rate or known.learned or DEFAULT_RATE, memory)
            bulk = Pacer(settings.bulk_rate or known.learned_bulk or DEFAULT_BULK_RATE, BulkMemory(memory))
            stop, share_batch = Stop(pacer), ShareBatch(settings.share_batch, memory)
            stop.also(bulk.close)
            seconds = settings.answer_timeout
            async with Client(host, access_key, secret_key, answer_seconds=seconds, proxy=proxy) as client:
                yield Connection(settings, client, pacer, stop, Tally(), memory, bulk, share_batch, Apis())


def remembered(settings: Settings) -> Account:
    """What earlier runs on this machine left to know of the account; nothing if none is set, or none was made."""
    try:
        return Account.read(_account_file(settings))
    except (SettingsError, OSError):
        return Account()


def _account_file(settings: Settings) -> Path:
    return settings.state_folder / f"{name_of_account(settings)}.account"


def name_of_account(settings: Settings) -> str:
    """By what the account is known on this machine. Raises SettingsError if none is set."""
    host, access_key, _ = settings.account()
    return account_name(host, access_key)


@asynccontextmanager
async def open_session(
    settings: Settings, ledger: Ledger, waiter: Waiter, *, only_looked_up: bool = False
) -> AsyncIterator[Session]:
    """Connect a ledger with its account. Raises as `open_connection`; LedgerError if it is another host's."""
    host, _, _ = settings.account()
    theirs = (await ledger.facts())["host"]
    if await ledger.sheet() is None:  # nothing was ever sent for it: the host may have been mistyped
        await ledger.note_host(host)
    elif theirs != host:
        raise LedgerError(
            ledger.file,
            f"it belongs to {theirs}, but the host is set to {host}. Set the host it belongs to, or name "
            "another ledger with --ledger",
            problem="The ledger belongs to another LeadSquared host than the one that is set.",
            hint="Set the host that it belongs to, or use another ledger.",
        )
    async with open_connection(settings, waiter) as connection:
        polls = Polls(settings.wait)
        guard = FailureGuard(settings.stop_after_failures, settings.stop_at)
        yield Session(**vars(connection), ledger=ledger, polls=polls, guard=guard, only_looked_up=only_looked_up)
