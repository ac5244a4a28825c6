"""What whoever looks on at a job sees of it and is asked: a terminal, a page, a test, a program; and its log.

The counts are kept as the work goes, so that looking costs the ledger nothing. Nothing that decides reads them.
What a run costs is reckoned here too.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from batch_share.errors import AccountClosed, TooManyRevokes, spell_revoked_first
from batch_share.leadsquared.protocol import MOST_ACTIVITIES
from batch_share.ledger.records import NONE_WAITING, ToShare, Waiting
from batch_share.ledger.states import BEFORE, BEING_REVOKED, INTENTS, ON_ITS_WAY, PROCESSING, State, rows_in
from batch_share.logs import log, masked
from batch_share.settings import DEFAULT_BULK_RATE, DEFAULT_RATE
from batch_share.sheet.columns import LEADS, USERS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime, tzinfo

    from batch_share.common import Holder, Rate
    from batch_share.errors import BatchShareError
    from batch_share.leadsquared.account import Account
    from batch_share.ledger.known import LiveShare
    from batch_share.ledger.records import Alike, Changes, SheetRecord
    from batch_share.sending.session import Session
    from batch_share.settings import Settings

LONG_WAIT: Final = 60.0
"""Seconds of a wait that is worth telling wherever somebody may look."""

STARTING: Final = "starting"
"""The phase in which nothing has happened yet."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """What is waited for, while nothing else goes on: how long it takes nobody knows.

    `requests` are still being processed; 0: what is waited for is another look at what nobody knows. It is asked
    `again` then, or just now if that is None, and for the last time at `until`.
    """

    again: float | None
    until: float
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Outage:
    """LeadSquared can't be reached: `words` say why. Of `most` tries that a call has, `tries` were in vain."""

    words: str
    tries: int
    most: int


FEW_TOGETHER: Final = 5
"""A share call of so many rows that could not be processed is repeated row by row, one of more in so many parts.

Of 25 with a bad row, ten calls are made instead of 25, and a good row is shared again at most twice, thrice where
users of whom every share fails were taken out in between. Halves would take five rounds; thirds take about as many
calls."""


@dataclass(slots=True)
class Repeats:
    """Calls whose shares could not be processed, for what it takes to share their rows again.

    Of calls for more than a few rows so many were `settled`, and of these so many `failed`; `under_way` are those
    of which nothing is known yet, by their rows, `waiting` those that are still to be made; `sending` rows are just
    being shared.
    """

    settled: int = 0
    failed: int = 0
    sending: int = 0
    under_way: Counter[int] = field(default_factory=Counter)
    waiting: Callable[[], Iterable[int]] = tuple

    @contextmanager
    def sends(self, size: int) -> Iterator[None]:
        """A call of so many rows waits for its slot, and is made."""
        self.sending += size
        try:
            yield
        finally:
            self.sending -= size

    def settle(self, size: int, *, failed: bool) -> None:
        """A call of so many rows is known to be processed, or to have failed."""
        self.under_way[size] -= 1
        if size > FEW_TOGETHER:
            self.settled += 1
            self.failed += failed

    def calls(self, to_share: int, share_batch: int) -> float:
        """Calls that are to be expected for them, if so many rows are still to be shared, and fail as others did.

        Beyond those that are made if nothing fails. Rows are taken to fail at random.
        """
        if not self.failed:
            return 0.0
        of_calls: float = min(self.failed / self.settled, 1 - 1 / (self.settled + 1))
        part = math.ceil(share_batch / FEW_TOGETHER)
        of_parts = 1 - (1 - of_calls) ** (part / share_batch)  # that fail, of all that there could be
        a_row = (1 + 1) / share_batch  # to share it and to ask for it, if that is counted with others
        after_part = 2 * part * of_parts / of_calls
        after_call = FEW_TOGETHER * (2 + after_part)
        fresh = max(0, to_share - self.sending - sum(self.waiting()))
        expected: float = fresh / share_batch * of_calls * after_call
        for size, count in self.under_way.items():
            many = of_calls * after_call
            few = (after_part if size > 1 else 0.0) + 1 - size / share_batch
            expected += count * (many if size > FEW_TOGETHER else few)
        for size in self.waiting():
            few = 2 + (after_part if size > 1 else 0.0)
            expected += (after_call if size > FEW_TOGETHER else few) - size * a_row
        return expected


@dataclass(slots=True)
class Tally:
    """What a progress display shows, and a job's ending tells; it decides nothing.

    `sent` counts posts, shares and revocations of rows, but not those that certainly did nothing and are to be sent
    again. `waiting` rows are pending because their time has not come.
    `parent` is told of each call, too, of an outage and of what is waited for.
    `revoked_earlier` are earlier shares that LeadSquared said were revoked, for rows whose action asked for it.
    Of `all_people`, leads and users who are to be looked up, so many `people` were; `looks_from` calls were made
    before that. `repeats` are the calls whose rows are shared again; a request `took` so many seconds of late from
    its acceptance until it was settled, which is what another round costs.
    """

    phase: str = STARTING
    states: Counter[State] = field(default_factory=Counter)
    calls: int = 0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=500))
    refusals: int = 0
    looked_up: Counter[str] = field(default_factory=Counter)
    people: int = 0
    all_people: int = 0
    looks_from: int | None = None
    sent: int = 0
    waiting: int = 0
    revoked_earlier: set[LiveShare] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)
    outage: Outage | None = None
    ask_awaited: Callable[[], Awaited | None] | None = None
    repeats: Repeats = field(default_factory=Repeats)
    took: float = 0.0
    parent: Tally | None = None

    def begin(self, states: Mapping[State, int]) -> None:
        """Count from these."""
        self.phase = STARTING
        self.states.clear()
        self.states.update(states)

    def to_look_up(self, people: int) -> None:
        """So many more leads and users are to be looked up."""
        if self.looks_from is None:
            self.looks_from = self.calls
        self.all_people += people

    def remark(self, words: str) -> None:
        """Something that a person should be told at the end, once."""
        if words not in self.remarks:
            self.remarks.append(words)

    def called(self) -> float:
        """One more call leaves, just now: when that is, by the loop's clock."""
        at = asyncio.get_running_loop().time()
        for tally in self._and_above():
            tally.calls += 1
            tally.recent.append(at)
        return at

    def never_left(self, at: float) -> None:
        """The call that was to leave then did not."""
        for tally in self._and_above():
            tally.calls -= 1
            with suppress(ValueError):  # so long ago that it is no recent one
                tally.recent.remove(at)

    def reached(self, outage: Outage | None = None) -> None:
        """LeadSquared has answered; with an `outage`, a call found nobody once more.

        Of several that are tried again, the one nearest to giving up counts.
        """
        for tally in self._and_above():
            if outage is None or tally.outage is None or tally.outage.tries <= outage.tries:
                tally.outage = outage

    @property
    def awaited(self) -> Awaited | None:
        """What is waited for now, None if something is done, too."""
        return self.ask_awaited() if self.ask_awaited is not None else None

    @contextmanager
    def waits_for(self, ask_awaited: Callable[[], Awaited | None]) -> Iterator[None]:
        """While the body runs, nothing goes on but what `ask_awaited` tells of, whenever it is asked."""
        for tally in self._and_above():
            tally.ask_awaited = ask_awaited
        try:
            yield
        finally:
            for tally in self._and_above():
                tally.ask_awaited = None

    def _and_above(self) -> Iterator[Tally]:
        tally: Tally | None = self
        while tally is not None:
            yield tally
            tally = tally.parent

    def moved(self, old: State, new: State, rows: int = 1) -> None:
        """`rows` rows went from one state to another."""
        self.states[old] -= rows
        self.states[new] += rows
        begun = new in INTENTS
        undone = old in INTENTS and BEFORE[INTENTS[old]] is new
        for tally in self._and_above():
            tally.sent += rows * (begun - undone)

    def calls_per_second(self, period: float = 1.0, seconds: float = 10.0) -> float:
        """Calls per second over the last `seconds`, or since the first if that is less, in whole periods.

        For all that a `period` allows may go at its beginning, which is no faster than allowed.
        """
        now, seconds = asyncio.get_running_loop().time(), period * math.ceil(seconds / period)
        times = [at for at in self.recent if now - at < seconds]
        since = now - times[0] if len(times) == len(self.recent) and times else seconds
        return len(times) / (period * max(1, math.ceil(since / period)))


@dataclass(frozen=True, slots=True)
class RevokedEarlier:
    """Shares of earlier runs that are revoked first: how many each user loses, and which sheets they are of.

    Users are called by e-mail address, or by whatever else is known of them; who loses most comes first.
    """

    users: Mapping[str, int] = field(default_factory=dict)
    sheets: Sequence[str] = ()


NOTHING_REVOKED: Final = RevokedEarlier()

MOST_SHARES: Final = 25
"""As many as a bulk call posts activities; no page gives a maximum."""


def shares_in_call(settings: Settings, account: Account, *, bulk: bool) -> int:
    """How many shares are tried in a call, by the setting or by what is known of the account.

    One where rows are posted one by one, unless it is known to take several; one, too, where to share again does
    harm: of a call that fails with several, those that were good could not be shared again.
    """
    if account.repeats_harm or not (bulk or account.takes_arrays):
        return 1
    return settings.share_batch or account.share_batch or MOST_SHARES


@dataclass(frozen=True, slots=True)
class Cost:
    """The `calls` that are left to be made, at least, and at which `rate`; with a `bulk_rate`, many rows to a call.

    `follow_up`: those that ask for the status of shares are counted.
    """

    calls: int
    rate: Rate
    follow_up: bool
    bulk_rate: Rate | None = None

    @property
    def seconds(self) -> float:
        """How long they take: the first `limit` calls go at once."""
        return max(0, self.calls - self.rate.limit) / self.rate.per_second


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast an account may be called: `rate`, and inside it `bulk_rate`; `share_batch` shares go in a call.

    Without a bulk rate rows go one by one. With `follow_up` every request is asked for once.
    """

    rate: Rate
    follow_up: bool
    bulk_rate: Rate | None = None
    share_batch: int = 1

    @classmethod
    def of(cls, settings: Settings, account: Account, *, bulk: bool) -> Pace:
        """The pace at which a run with these settings begins, by what is known of the account."""
        rate = settings.rate or account.rate or DEFAULT_RATE
        bulk_rate = (settings.bulk_rate or account.bulk_rate or DEFAULT_BULK_RATE) if bulk else None
        return cls(rate, settings.follow_up, bulk_rate, shares_in_call(settings, account, bulk=bulk))

    def cost(self, states: Mapping[State, int], events: int = 0) -> Cost:
        """What is left to do for rows in these states; those of `events` activity types have owners checked."""
        fresh = states.get(State.PENDING, 0)
        together = 0.0
        if self.bulk_rate is not None:  # bulk calls carry those for which no slot is idle
            after_post = (1 + self.follow_up) / self.share_batch
            of_bulk_call = 1 + MOST_ACTIVITIES * after_post
            bulk_calls = min(self.bulk_rate.per_second, self.rate.per_second / of_bulk_call)
            singles = (self.rate.per_second - bulk_calls * of_bulk_call) / (1 + after_post)
            together = fresh * MOST_ACTIVITIES * bulk_calls / (MOST_ACTIVITIES * bulk_calls + singles)
        calls = together / MOST_ACTIVITIES + (fresh - together)
        to_share = rows_in(states, ON_ITS_WAY)
        to_revoke = rows_in(states, BEING_REVOKED)
        calls += (to_share - states.get(State.SHARING, 0)) / self.share_batch + to_revoke
        if self.follow_up:
            calls += (to_share + states.get(State.ACCEPTED, 0)) / self.share_batch
            calls += to_revoke + states.get(State.ENDING, 0)
        calls = math.ceil(round(calls, 6))  # rounding errors must not make another call
        # To find out whose the keys are, and to read an activity of each type; in bulk, of each form too.
        if events:
            calls += events + 1 if self.bulk_rate is None else 2 * events + 3
        return Cost(calls, self.rate, self.follow_up, self.bulk_rate)


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run is about to do, for a person to agree to.

    | field | what it is |
    |---|---|
    | `sheet`, `host`, `settings` | which sheet, by which API, as what is set says |
    | `states` | all rows by state |
    | `to_do` | the rows that will be sent, by state |
    | `deed` | what is done with them, in a word or two |
    | `changes` | what taking the sheet in changed; None: nothing, it is the very one with the very options |
    | `notes` | what a person should know of how it was read; `reported`: what else |
    | `cut_off` | rows that were under way when an earlier process was cut off: unknown, and looked up |
    | `pace` | the one that the run begins with |
    | `events`, `activities` | how many activity types are posted; each by code, with its name ("": not known) |
    | `skipped` | the most frequent reasons for which rows are skipped |
    | `waiting` | rows that are not sent before their time |
    | `revoked_earlier` | shares of earlier runs, for rows whose action asks for that |
    | `earlier` | rows of sheets before this one, and not in it |
    | `to_share` | what the rows would give; None where they are tried again or revoked |
    | `zone` | of the times that are told: the account's; None: this machine's |
    | `plan` | what `plan --json` would print just now; None as for `to_share` |
    | `is_verified` | whether somebody has tried the account on this machine |
    """

    sheet: SheetRecord
    host: str
    states: dict[State, int]
    changes: Changes | None
    cut_off: int
    settings: Settings
    pace: Pace
    to_do: dict[State, int]
    events: int
    skipped: Sequence[Alike] = ()
    deed: str = "send"
    reported: Sequence[str] = ()
    notes: Sequence[str] = ()
    waiting: Waiting = NONE_WAITING
    revoked_earlier: RevokedEarlier = NOTHING_REVOKED
    activities: Sequence[tuple[int, str]] = ()
    to_share: ToShare | None = None
    zone: tzinfo | None = None
    earlier: int = 0
    plan: Mapping[str, Any] | None = None
    is_verified: bool = True

    @property
    def to_send(self) -> int:
        """Rows that will be sent."""
        return sum(self.to_do.values())

    @property
    def revocations(self) -> int:
        """Shares of earlier runs that are revoked first."""
        return sum(self.revoked_earlier.users.values())

    @property
    def may_revoke(self) -> bool:
        """Whether so many shares may be revoked though nobody is asked."""
        return self.revocations <= self.settings.max_revokes

    def check_revokes(self) -> None:
        """Raises TooManyRevokes where nobody can be asked whether so many shares may be revoked."""
        if not self.may_revoke:
            users, sheets = self.revoked_earlier.users, self.revoked_earlier.sheets
            words = spell_revoked_first(users, sheets, "would be")
            raise TooManyRevokes(words, users, sheets, self.settings.max_revokes)

    @property
    def names_from(self) -> tuple[Sequence[str], Sequence[str]]:
        """The headers of the columns that name the lead, and of those that name the person; the surest first."""
        read = (self.sheet.mapping or {}).items()
        leads = [header for each in LEADS for header, name in read if name == each]
        return leads, [header for each in USERS for header, name in read if name == each]

    @property
    def changes_made(self) -> int:
        """Shares that will be made, and that are revoked first: what a person is asked about."""
        return self.to_send + self.revocations

    @property
    def left_out(self) -> int:
        """Rows whose activity stands, and that go on only when they are not left out any more."""
        return self.states.get(State.POSTED, 0) - self.to_do.get(State.POSTED, 0) if self.deed == "send" else 0

    @property
    def cost(self) -> Cost:
        """What sending them costs at least, and asking for those that were accepted before."""
        states = self.to_do | {state: self.states.get(state, 0) for state in PROCESSING}
        states[State.TO_REVOKE] = states.get(State.TO_REVOKE, 0) + self.revocations
        return self.pace.cost(states, self.events)


@dataclass(frozen=True, slots=True)
class Doubt:
    """What only a person can answer, and no `--yes` does: lines `reported` before the `question`."""

    reported: Sequence[str]
    question: str


class ByNumber(NamedTuple):
    """How many calls look up so many `leads` by number; which ways an account has is tried, at worst one for each.

    `in_lists` if a call may ask for many numbers, `in_ranges` if it may list leads in the order of their numbers.
    """

    leads: int
    in_lists: int
    in_ranges: int


NO_NUMBERS: Final = ByNumber(0, 0, 0)
"""For nobody who is named by number."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a sheet says by itself, before its people are looked up: what is wrong needs no look-up to be told.

    `wrong` of the `rows` of `sheet`, its name, can't be sent, for `mistakes`, the most frequent first. So many
    `people` are to be looked up, `kept` others are known from earlier look-ups; it takes `least` to `most` calls,
    those `by_number` among them, and `seconds` at most.
    """

    sheet: str
    rows: int
    wrong: int
    mistakes: Sequence[Alike]
    people: int
    kept: int
    least: int
    most: int
    seconds: float
    by_number: ByNumber = NO_NUMBERS


class Waiter(Protocol):
    """Whoever may have to wait for the account."""

    def wait_turn(self, holder: Holder) -> None:  # noqa: ARG002 - for whoever tells it
        """The account is in use, by whom as far as that is known: called before each wait."""
        return


class Watcher(Waiter, Protocol):
    """Whoever looks on: agrees to the plan, shows progress, passes on a wish to stop.

    What a subclass does not say is as for a program that nobody watches: nothing is shown, no doubt is sure.
    """

    def foresee(self, outlook: Outlook) -> None:  # noqa: ARG002 - for whoever shows it
        """Called before look-ups that take a while."""
        return

    def agree(self, preview: Preview) -> bool | Awaitable[bool]:
        """Show what will happen; False ends the job before anything is sent.

        An answer that is awaited may take its time: the account is left to other jobs meanwhile. May raise
        BatchShareError, which ends the job too: TooManyRevokes where nobody can be asked.
        """
        preview.check_revokes()
        return True

    def is_sure(self, doubt: Doubt) -> bool:  # noqa: ARG002 - for whoever can ask
        """Ask about a doubt; False also where there is nobody to ask."""
        return False

    def watch(
        self,
        progress: Callable[[], Progress],  # noqa: ARG002 - for whoever shows it
        stop: Callable[[], None],  # noqa: ARG002 - for whoever ends it
    ) -> AbstractAsyncContextManager[None]:
        """Entered while calls are made: `progress` gives how far they are, `stop` ends them as `Job.stop` does."""
        return nullcontext()


# ------------------------------------------------------------------------------------------- for programs


@dataclass(frozen=True, slots=True)
class AskingAgain:
    """What is waited for, while nothing else goes on; the times are UTC, with a zone.

    `requests` are still being processed (0: it is looked for again what nobody knows). They are asked for `again`
    then, just now if that is None, and at `until` for the last time.
    """

    again: datetime | None
    until: datetime
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """No call goes before `until` (UTC, with a zone), for a refusal; of `bulk` calls only, if it says so.

    `asked`: LeadSquared said how long. `is_long`: it is worth telling wherever somebody may look.
    """

    until: datetime
    asked: bool
    bulk: bool
    is_long: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, at one moment.

    | field | what it is |
    |---|---|
    | `phase` | what is being done, in words for people |
    | `states` | rows by state, those that no row is in left away |
    | `done` | of all rows how many are done, one that is on its way counted in part |
    | `calls`, `calls_per_second`, `refusals` | calls so far, over the last ten seconds, refused as one too many |
    | `allowed_per_second` | calls a second, at the most, as its pace is now; None before it has one |
    | `job` | the `Job.id` that this is the progress of |
    | `looked_up` | leads and users that were looked up, of how many; None before and if nobody is to be |
    | `waiting_for` | who uses the account, while the job waits for it |
    | `outage` | why LeadSquared can't be reached and which try it is, while that is so |
    | `held` | until when no call goes after a refusal, and why |
    | `unanswered` | no call has left for a while: it waits for LeadSquared to answer one |
    | `awaited` | what is waited for while nothing else goes on |
    | `eta` | seconds until all calls are made; None where that is not all it takes, or nobody knows |
    | `at_least` | seconds that all calls take that are known to be left; None while none goes |
    | `has_begun` | something was done, so that there is progress to show |
    | `stopping` | it was asked to stop: calls under way are finished and noted |
    | `daily` | calls of the account on this day, of how many at most (None: no limit is set); None before any |
    """

    phase: str
    states: Mapping[State, int] = field(default_factory=dict)
    calls: int = 0
    calls_per_second: float = 0.0
    refusals: int = 0
    job: str = ""
    looked_up: tuple[int, int] | None = None
    waiting_for: Holder | None = None
    outage: Outage | None = None
    held: Held | None = None
    awaited: AskingAgain | None = None
    eta: float | None = None
    stopping: bool = False
    daily: tuple[int, int | None] | None = None
    done: float = 0.0
    allowed_per_second: float | None = None
    unanswered: bool = False
    at_least: float | None = None
    has_begun: bool = False

    @property
    def is_looking_up(self) -> bool:
        """Whether leads and users are still to be looked up."""
        return self.looked_up is not None and self.looked_up[0] < self.looked_up[1]


# ------------------------------------------------------------------------------------------- for the log


@contextmanager
def logging_ends(session: Session) -> Iterator[None]:
    """The first and the last event of a job, whatever ends it."""
    began, tally = monotonic(), session.tally
    log.info(
        "started", settings={name: value for name, value in session.settings.public().items() if name != "note"}
    )
    try:
        yield
    finally:
        if session.stop.error is not None:
            log_error(session.stop.error)
        rows = {str(state): count for state, count in tally.states.items() if count}
        seconds = round(monotonic() - began, 3)
        log.info(
            "ended",
            rows=rows,
            calls=tally.calls,
            refusals=tally.refusals,
            stopped=session.stop.asked,
            seconds=seconds,
        )


def log_error(error: BatchShareError) -> None:
    """The error that ends a job."""
    more = {"until": error.until.isoformat(timespec="seconds")} if isinstance(error, AccountClosed) else {}
    log.error("stopped by an error", error=type(error).__name__, words=masked(error), **more)
