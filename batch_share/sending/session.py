"""What every step of a row works with: the ledger, the account, the way to stop, and the progress so far.

An account may be called by several hosts: by a store, one driver at a time, and what is known of it there.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from batch_share.common import boot_time, wait_for_event
from batch_share.errors import (
    AccessDenied,
    AccountClosed,
    BatchShareError,
    DailyLimitReached,
    SettingsError,
)
from batch_share.leadsquared.account import (
    ASK_AGAIN,
    Account,
    AccountMemory,
    AccountTurn,
    Apis,
    account_name,
    any_account,
    name_of_account,
    names_of_account,
    remember_account,
    tried,
)
from batch_share.leadsquared.guesses import DAY_ZONE
from batch_share.leadsquared.pacing import Pacer, PacerClosed
from batch_share.leadsquared.people import KEY_USER, KeyUser, read_key_user
from batch_share.leadsquared.protocol import Answer, Denied, NotSent, Refused, Throttled
from batch_share.leadsquared.wire_log import CallLog, WireLog
from batch_share.ledger.accounts import open_accounts
from batch_share.ledger.states import INTENTS, ON_ITS_WAY, State, rows_in
from batch_share.sending.calls import ask_once
from batch_share.sending.guards import FailingUsers, FailureGuard, Health
from batch_share.sending.onlookers import (
    LONG_WAIT,
    STARTING,
    AskingAgain,
    Held,
    Pace,
    Progress,
    Tally,
    shares_in_call,
)
from batch_share.settings import DEFAULT_BULK_RATE, DEFAULT_RATE, proxy_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
    from pathlib import Path

    from batch_share.common import Holder, Rate
    from batch_share.leadsquared.client import Client
    from batch_share.leadsquared.people import FoundUser
    from batch_share.leadsquared.protocol import Call, Lost
    from batch_share.ledger.accounts import Accounts
    from batch_share.ledger.records import Result
    from batch_share.ledger.states import Stage
    from batch_share.ledger.store import Ledger
    from batch_share.sending.follow_up import Polls
    from batch_share.sending.onlookers import Preview, Waiter
    from batch_share.sending.steps import Form
    from batch_share.settings import Settings

T = TypeVar("T")

WAITING_TURN: Final = "waiting for another run of the account to end"
"""The phase in which another job uses the account."""

IDLE_SECONDS: Final = 5.0
"""Without a call, at least, until that is taken for waiting."""

_PARTS: Final = {
    State.PENDING: 0.0,
    State.POSTING: 0.0,
    State.POSTED: 1 / 3,
    State.SHARING: 1 / 3,
    State.TO_REVOKE: 0.0,
    State.REVOKING: 0.0,
}
_FOLLOWED: Final = {State.ACCEPTED: 2 / 3, State.ENDING: 1 / 2}
"""How much of a row is done that is on its way; accepted ones are on it while they are still to be followed up."""


class Stop:
    """The one way in which work ends early: no new calls, those under way are finished and noted.

    `error` is why, None when a person asked for it.
    """

    def __init__(self) -> None:
        self._closers: list[Callable[[], None]] = []
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

    async def unless_asked(self, work: Awaitable[T]) -> T | None:
        """What the work comes to; None if all is to end before that: then it is cancelled."""
        doing, asked = asyncio.ensure_future(work), asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait((doing, asked), return_when=asyncio.FIRST_COMPLETED)
            return doing.result() if doing.done() else None
        finally:
            doing.cancel()
            asked.cancel()
            await asyncio.wait((doing, asked))


@contextmanager
def ending_early(stop: Stop) -> Iterator[None]:
    """A piece of work whose foreseeable errors end all work, in good order."""
    try:
        yield
    except PacerClosed:
        return
    except BatchShareError as error:
        stop.ask(error)


MOST_AT_ONCE: Final = 100
"""Rows or bulk calls under way at once, unless a setting says more: a change wakes all of them that wait.

It fills 500 calls in 5 seconds at a round trip of one."""


async def in_parallel(session: Connection, worker: Callable[[], Awaitable[None]], times: int | None = None) -> None:
    """Run `worker` as often as rows are under way at once, or `times`. One that fails ends all work, in order."""
    if times is None:  # enough to fill the limit at a round trip of one second
        times = session.settings.workers or min(max(2, round(session.pacer.rate.per_second) + 1), MOST_AT_ONCE)

    async def guarded() -> None:
        with ending_early(session.stop):
            await worker()

    async with asyncio.TaskGroup() as group:
        for _ in range(times):
            group.create_task(guarded())


@dataclass(frozen=True, slots=True)
class Counted:
    """A call that is counted: as one of the account's on `day`, and of this process's `at` a moment of the loop."""

    day: str
    at: float


class ShareBatch:
    """What is tried, `most` shares in a call: the setting, else what an earlier run has learnt of the account.

    No page says how many go in one, so an account's refusals teach it.
    """

    def __init__(self, settings: Settings, memory: AccountMemory) -> None:
        self._memory = memory
        self._accepted = 1
        self.most = shares_in_call(settings, memory.account, bulk=settings.bulk)

    def accepted(self, size: int) -> None:
        """A call of this size was accepted."""
        self._accepted = max(self._accepted, size)
        if size > (self._memory.account.share_batch or size):
            self._memory.keep(share_batch=size)

    def refused(self, size: int, parts: int) -> None:
        """A call of this size was refused, though every row of it was accepted in calls of at most `parts`.

        So no row is to blame, but their number; unless that was taken before.
        """
        most = max(self._accepted, parts)
        if size > self._accepted and most < self.most:
            self.most = most
            self._memory.keep(share_batch=most)


@dataclass(frozen=True)
class Connection:
    """One job's work on one account: the turn to call it, the calls, their pace, the way to stop them.

    `key_user` is whom its keys are of, where that was asked to learn which account it is; `shown`, with the path of
    each API and each type, the markers that were seen: those in notes (True), those in a custom field (False).
    """

    settings: Settings
    turn: AccountTurn
    client: Client
    pacer: Pacer
    stop: Stop
    tally: Tally
    memory: AccountMemory
    bulk_pacer: Pacer
    share_batch: ShareBatch
    apis: Apis
    health: Health
    key_user: KeyUser | None
    shown: set[tuple[str, int, bool]]

    def saw(self, path: str, event: int, markers: Iterable[str]) -> None:
        """This API shows markers like these in this activity type: what it doesn't show is not there."""
        self.shown.update((path, event, marker.startswith("[")) for marker in markers)

    async def answered(self, question: Awaitable[bool]) -> bool:
        """The answer to a question; False, too, if the work is to end. Others have the account until it comes.

        After a yes it is this job's turn again, and what was called meanwhile counts as what an earlier process
        called. No call may be under way. Raises BatchShareError as `open_connection`.
        """
        self.memory.close()
        self.turn.give_back()
        if not await self.stop.unless_asked(question):
            return False
        await self.stop.unless_asked(self.turn.take())
        if not self.turn.is_held:
            return False
        self.memory.open()
        _heed_all(self.memory, self.settings)
        rate, bulk_rate = rates(self.settings, self.memory.account)
        self.pacer.resume(rate)
        self.bulk_pacer.resume(bulk_rate)
        return True

    def called(self) -> Counted:
        """One more call is about to leave: count it. Raises DailyLimitReached if it may not."""
        return Counted(self.memory.spend(self.settings.daily_limit), self.tally.called())

    async def send(self, call: Call, counted: Counted) -> Answer | NotSent | Lost:
        """Send a call that was counted. One that reached nobody was none, after all."""
        if (noting := self.memory.noting) is not None:
            await asyncio.wait([noting])
        answer = await self.client.send(call)
        if isinstance(answer, Answer):
            self.tally.reached()
        if isinstance(answer, NotSent):
            self.memory.give_back(counted.day)
            self.tally.never_left(counted.at)
        return answer

    def progress(self) -> Progress:
        """How far it is now."""
        tally, account, now = self.tally, self.memory.account, asyncio.get_running_loop().time()
        # For which refusal no call goes now; if others go, for which no bulk call does.
        hold = self.pacer.hold or (self.bulk_pacer.hold if self.settings.bulk else None)
        # No call has left for longer than its pace explains: it waits, for an answer or for a time.
        is_idle = bool(tally.recent) and now - tally.recent[-1] > max(IDLE_SECONDS, 2 * self.pacer.rate.period)
        states = {state: count for state, count in tally.states.items() if count}
        at_least, awaited, held = None, None, None
        if tally.people < tally.all_people:  # if the others take as many calls as those that were looked up
            if tally.people and tally.looks_from is not None:
                looks = (tally.calls - tally.looks_from) / tally.people * (tally.all_people - tally.people)
                at_least = looks / self.pacer.rate.per_second
        elif not (self.stop.asked or tally.outage or self.pacer.hold or is_idle):
            due = states | {State.PENDING: states.get(State.PENDING, 0) - tally.waiting}
            calls: float = self.pace.cost(due).calls
            if calls:
                calls += tally.repeats.calls(rows_in(states, ON_ITS_WAY), self.share_batch.most)
                at_least = calls / self.pacer.rate.per_second + tally.took
        if (found := tally.awaited) is not None:
            again = _at(found.again) if found.again is not None else None
            awaited = AskingAgain(again, _at(found.until), found.requests)
        if hold is not None:
            is_long = hold.until - hold.since > LONG_WAIT
            held = Held(_at(hold.until), hold.asked, bulk=self.pacer.hold is None, is_long=is_long)
        parts = _PARTS | (_FOLLOWED if self.settings.follow_up else {})
        return Progress(
            tally.phase,
            states,
            tally.calls,
            tally.calls_per_second(max(1.0, self.pacer.rate.period)),
            tally.refusals,
            looked_up=(min(tally.people, tally.all_people), tally.all_people) if tally.all_people else None,
            outage=tally.outage,
            held=held,
            awaited=awaited,
            # With unknown rows there is more to do than can be known.
            eta=at_least if awaited is None and State.UNKNOWN not in states else None,
            stopping=self.stop.asked,
            daily=(account.calls, self.settings.daily_limit) if account.day else None,
            done=tally.waiting + sum(count * parts.get(state, 1.0) for state, count in states.items()),
            allowed_per_second=self.pacer.rate.per_second,
            unanswered=is_idle and any(state in INTENTS for state in states),
            at_least=at_least,
            has_begun=tally.calls > 0 and tally.phase != STARTING,
        )

    @property
    def pace(self) -> Pace:
        """What the work's cost is reckoned by."""
        bulk_rate = self.bulk_pacer.rate if self.settings.bulk else None
        return Pace(self.pacer.rate, self.settings.follow_up, bulk_rate, self.share_batch.most)


class Missing(NamedTuple):
    """What a ledger does not know of its job: calls up to this number, made `since` then (UTC, without a zone)."""

    calls: int
    since: datetime


@dataclass(frozen=True)
class Session(Connection):
    """One job's work on one account through one ledger.

    `verified` are the activity types whose owner was checked, each with the form that it was posted in, and the one
    user for whom ("": for all).
    `given` are the rows for which each Id was given lately, by step: no two calls have one. `failing` are the users
    with whom nothing can be shared. `listed` are the account's users, once they were asked for; `not_there` are
    requests whose status was answered 404. `missing` is what the ledger does not know of its job.
    """

    ledger: Ledger
    polls: Polls
    guard: FailureGuard = field(default_factory=FailureGuard)
    verified: dict[tuple[int, Form], str] = field(default_factory=dict)
    given: dict[tuple[Stage, str], frozenset[int]] = field(default_factory=dict)
    failing: FailingUsers = field(default_factory=FailingUsers)
    listed: list[FoundUser] = field(default_factory=list)
    not_there: set[str] = field(default_factory=set)
    missing: Missing | None = None

    def moved(self, old: State, result: Result, rows: int = 1) -> None:
        """`rows` rows went from `old` to where `result` brings them: for the display and for the guard of failures.

        The one place for it, so that no failure goes uncounted; whoever is done with a call lets the guard check.
        """
        self.tally.moved(old, result.state, rows)
        self.guard.count(result, rows)


@dataclass(slots=True)
class Course:
    """How a job goes, from before it has its turn until its end: what is shown of it, and the one way to end it.

    `preview` is what it is about to do, once that is known.
    """

    stop: Stop = field(default_factory=Stop)
    tally: Tally = field(default_factory=Tally)
    preview: Preview | None = None
    turn: AccountTurn | None = None
    connection: Connection | None = None
    wire_log: CallLog | None = None

    def progress(self, job: str = "") -> Progress:
        """How far it is now, as the one with this Id."""
        if self.connection is not None:
            reported = self.connection.progress()
        else:
            states = {state: count for state, count in self.tally.states.items() if count}
            reported = Progress(self.tally.phase, states, stopping=self.stop.asked)
        if self.turn is not None and self.turn.is_awaited:
            reported = replace(reported, phase=WAITING_TURN, waiting_for=self.turn.holder)
        return replace(reported, job=job)


def _at(moment: float) -> datetime:
    """The time of day at a moment of the loop's clock."""
    return datetime.now(UTC) + timedelta(seconds=moment - asyncio.get_running_loop().time())


def rates(settings: Settings, known: Account) -> tuple[Rate, Rate]:
    """The most that an account is called, and that bulk calls are made to it, by what was told of it last."""
    rate = settings.rate or known.rate or DEFAULT_RATE
    return rate, settings.bulk_rate or known.bulk_rate or DEFAULT_BULK_RATE


@asynccontextmanager
async def open_connection(
    settings: Settings,
    waiter: Waiter,
    course: Course | None = None,
    command: str = "",
    *,
    identify: bool = True,
    accounts: Accounts | None = None,
) -> AsyncIterator[Connection]:
    """Connect to the account for this `command`, once no other job of this machine is.

    Nor any of another host that has the store in force, or the one whose `accounts` are given. If nobody knows yet
    which account the key is of, LeadSquared is asked, unless not to `identify` it. Raises SettingsError;
    AccessDenied; BatchShareError if the state folder can't be written, or if all is to end before its turn;
    LedgerError for a store.
    """
    host, access_key, secret_key = settings.credentials()
    proxy = proxy_for(host, settings.proxy)
    course = course or Course()
    async with AsyncExitStack() as turns:
        if accounts is None and settings.store is not None:
            from batch_share.ledger.postgres import Store  # noqa: PLC0415 - for few, and it takes time

            store = Store.of(settings.store.get_secret_value())
            accounts = await turns.enter_async_context(open_accounts(store, command))
        turn: AccountTurn | None = None
        while turn is None or turn.file != _account_file(settings):
            if turn is not None:  # whoever had it until now was told which account the key is of
                turn.give_back()
            # While nobody knows which account the key is of, it is the turn of all that it may be.
            is_known = name_of_account(settings) != account_name(host, access_key) or remembered(settings).asked
            besides = tuple if is_known else partial(any_account, settings.state_folder, host)
            turn = AccountTurn(_account_file(settings), waiter.wait_turn, besides)
            if accounts is not None:
                turn = StoredTurn(accounts, turn.file, waiter.wait_turn, host, is_known=is_known)
            await _take_turn(turn, course, turns)
        memory = AccountMemory(turn.file, host=host)
        if accounts is not None:
            memory = StoredMemory(accounts, turn.file, host)
        with memory:
            _heed_all(memory, settings)
            if settings.calls_when_closed:
                memory.keep(closed_until=0.0)  # somebody knows better
            rate, bulk_rate = rates(settings, memory.account)
            pacer, bulk_pacer = Pacer(rate, memory), Pacer(bulk_rate, memory, is_bulk=True)
            course.stop.also(pacer.close)
            course.stop.also(bulk_pacer.close)
            seconds = settings.answer_timeout
            wire_log = course.wire_log
            if settings.wire_log:
                wire_log = turns.enter_context(WireLog(settings.wire_log))
            # aiohttp and all of TLS, for which plan and status need not wait: they make no call.
            from batch_share.leadsquared import client as leadsquared  # noqa: PLC0415

            async with leadsquared.Client(
                host, access_key, secret_key, answer_seconds=seconds, proxy=proxy, wire_log=wire_log
            ) as client:
                client.may_send = accounts.may_send if accounts is not None else None
                connection = Connection(
                    settings=settings,
                    turn=turn,
                    client=client,
                    pacer=pacer,
                    stop=course.stop,
                    tally=course.tally,
                    memory=memory,
                    bulk_pacer=bulk_pacer,
                    share_batch=ShareBatch(settings, memory),
                    apis=Apis(gone={path: Refused(said) for path, said in (tried(settings) or {}).items()}),
                    health=Health(),
                    key_user=None,
                    shown=set(),
                )
                if identify and turn.file.stem == (key := account_name(host, access_key)):
                    connection = await _identified(connection, key, course, turns)
                course.connection = connection
                yield connection


def _heed_all(memory: AccountMemory, settings: Settings) -> None:
    """Wait for the calls of every other key that may be of the same account."""
    for name in names_of_account(settings) - {name_of_account(settings)}:
        with suppress(OSError):  # it has just become another's
            memory.heed(settings.state_folder / f"{name}.account")


async def _take_turn(turn: AccountTurn, course: Course, turns: AsyncExitStack) -> AccountTurn:
    """The turn once it is ours, given back with all `turns`. Raises BatchShareError if all is to end before."""
    course.turn = turn
    turns.callback(turn.give_back)
    await course.stop.unless_asked(turn.take())
    if not turn.is_held:
        raise BatchShareError("Nothing was sent: it was stopped while waiting for another run of the account.")
    return turn


async def _identified(connection: Connection, key: str, course: Course, turns: AsyncExitStack) -> Connection:
    """The connection, from now on of the account that LeadSquared says its key is of, as other keys may be.

    Where that is not told, it stays one of the key alone; while it can't be asked, others wait that may be the same
    account, as before. What was kept by the key is kept by the account first,
    and only then is it remembered which one: a process that ends in between asks again. Raises AccessDenied.
    """
    settings, memory, turn = connection.settings, connection.memory, connection.turn
    user = await _once_key_user(connection)
    if user is None or not user.org_id:
        if not memory.account.asked:
            return connection
        only = await _take_turn(turn.only(turn.file), course, turns)
        turn.give_back()
        return replace(connection, turn=only, key_user=user)
    account = account_name("org", connection.client.base_url, user.org_id)
    only = await _take_turn(turn.only(settings.state_folder / f"{account}.account"), course, turns)
    memory.move(only.file)
    remember_account(settings.state_folder, key, account)
    turn.give_back()
    rate, bulk_rate = rates(settings, memory.account)
    connection.pacer.resume(rate)
    connection.bulk_pacer.resume(bulk_rate)
    share_batch = ShareBatch(settings, memory)
    return replace(connection, turn=only, share_batch=share_batch, key_user=user)


async def _once_key_user(connection: Connection) -> KeyUser | None:
    """Whose the keys are, asked in one try; None if that is not told. Raises AccessDenied."""
    call = KEY_USER
    try:
        user = await ask_once(connection, call, read_key_user)
    except (AccountClosed, DailyLimitReached, PacerClosed):
        return None
    if isinstance(user, NotSent | Throttled):
        return None
    if isinstance(user, Denied) and user.status != 403:  # which is this API's alone: refused keys are a 401
        raise AccessDenied(user.status, user.words)
    if not isinstance(user, KeyUser):
        connection.apis.failed(call.path, user)
    if call.path in connection.apis.gone or (isinstance(user, KeyUser) and not user.org_id):
        connection.memory.keep(asked=True)  # and won't be: what merely went wrong is asked again by the next run
    return user if isinstance(user, KeyUser) else None


def remembered(settings: Settings) -> Account:
    """What earlier runs on this machine left to know of the account; nothing if none is set, or none was made."""
    try:
        return Account.read(_account_file(settings))
    except (SettingsError, OSError):
        return Account()


def _account_file(settings: Settings) -> Path:
    return settings.state_folder / f"{name_of_account(settings)}.account"


class StoredTurn(AccountTurn):
    """The turn to call an account from any host: it is the store's to give, by names that are those of files here.

    While nobody knows which account a key is of, it is that of all at its `host`.
    """

    def __init__(
        self, table: Accounts, file: Path, on_wait: Callable[[Holder], None], host: str, *, is_known: bool
    ) -> None:
        super().__init__(file, on_wait)
        self._table, self._host, self._is_known = table, host, is_known
        self._names: set[str] = set()

    @property
    def is_held(self) -> bool:
        """Whether it is ours now."""
        return self.file.name in self._names

    async def take(self) -> None:
        """Wait until nobody else has it. Raises LedgerError if the store is lost."""
        all_of_host = None if self._is_known else f"{account_name(self._host)}.host"
        try:
            while not self.is_held:
                before = set(self._table.kept)
                holder = await self._table.take(self.file.name, self._host, all_of_host)
                if holder is None:
                    self._names = set(self._table.kept) - before
                    return
                self.holder = holder
                if not self.is_awaited:
                    self.is_awaited = True
                    self._on_wait(holder)
                await asyncio.sleep(ASK_AGAIN)
        finally:
            self.is_awaited = False

    def only(self, file: Path) -> AccountTurn:
        """The turn of this file alone: taken from this one, which is to be given back, or yet to be taken."""
        turn = StoredTurn(self._table, file, self._on_wait, self._host, is_known=True)
        if file.name in self._names:
            self._names.remove(file.name)
            turn._names = {file.name}
        return turn

    def give_back(self) -> None:
        """Let another have it. Once is enough, and twice does no harm."""
        self._table.give_back(*self._names)
        self._names.clear()


class StoredMemory(AccountMemory):
    """What is known of an account on all hosts; this machine's file has it too, for whoever looks without a store.

    The calls of a host that was cut off may still be under way, however long ago its lock was given to another: a
    whole period is waited for them, whatever a clock says.
    """

    def __init__(self, table: Accounts, file: Path, host: str) -> None:
        super().__init__(file, host=host)
        self._table = table

    def open(self) -> None:
        """Read what is known of it, and of all that may be the same. Raises as that of a file."""
        super().open()
        for name in self._table.kept:
            if name != self._file.name:
                self.heed(self._file.with_name(name))

    def heed(self, file: Path) -> Account:
        """Wait for its calls on any host, too; what is known there, else here."""
        known, (text, age) = super().heed(file), self._table.kept.get(file.name, ("", 0.0))
        self._heeded = boot_time()
        if text:
            known = Account.read(text)
            age = age if known.closed else 0.0
            self._age = min(age, age if self._age is None else self._age)
            self._was_closed = self._was_closed and known.closed
            self._period_before = max(self._period_before, known.period, known.rate.period if known.rate else 0.0)
        return known

    def move(self, file: Path) -> None:
        """As of a file."""
        before = self._file.name
        super().move(file)
        self._table.drop(before)

    def seconds_to_wait(self, period: float) -> float:
        """As of a file, less what went by since the account is ours."""
        return max(0.0, super().seconds_to_wait(period) - (boot_time() - self._heeded))

    def _today(self) -> str:
        return self._table.today().astimezone(DAY_ZONE).date().isoformat()

    def _write(self) -> None:
        try:
            super()._write()
        finally:
            text = json.dumps(vars(self.account) | {"calls": self._written}, default=str)
            self._table.put(self._file.name, text, max(0.0, self._wall_clock() - self._last))
            self.noting = self._table.noting
