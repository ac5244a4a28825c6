"""What is known of an account on this machine, remembered over restarts; whose turn it is to call it; its APIs.

One process at a time calls an account from this machine: the limit is the account's, a pacer's calls its own.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import json
import os
import re
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock, Timeout

from batch_share.common import Holder, Rate
from batch_share.errors import AccountClosed, BatchShareError, DailyLimitReached
from batch_share.leadsquared.guesses import (
    CLOCK_MARGIN,
    DAY_ZONE,
    LONGEST_CLOSED,
    LONGEST_PERIOD,
    NOT_FOR_US,
    is_believed,
)
from batch_share.leadsquared.protocol import Denied, Lost, NotSent, Refused
from batch_share.outputs import write_private

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from pydantic import SecretStr

    from batch_share.leadsquared.protocol import Failure
    from batch_share.settings import Settings

MOST_LOST: Final = 3
"""Calls in a row, each of them repeated, that may go unanswered before an API is taken to be silent: one or two may
be mishaps, and each of these takes minutes."""

NOT_THERE: Final = frozenset({404, 405, 501})
"""HTTP status of a call to an API that a server does not have."""


def is_foreign(failure: Failure) -> bool:
    """Whether any server that has nothing to do with LeadSquared would answer so, or nobody answered."""
    return isinstance(failure, Lost | NotSent) or (isinstance(failure, Refused | Denied) and failure.is_page)


@dataclass(slots=True)
class Apis:
    """What became of calls, by path: which ones `worked`.

    `gone` are those that are not asked again: why not. `heard`: any call was answered, be it with a refusal;
    `understood`: one was as LeadSquared answers, so that it is no other server. `few` may ask at a time while it is
    not known whether there is such an API.
    """

    worked: set[str] = field(default_factory=set)
    gone: dict[str, Failure] = field(default_factory=dict)
    heard: bool = False
    understood: bool = False
    few: dict[str, asyncio.Semaphore] = field(default_factory=dict)
    _lost: Counter[str] = field(default_factory=Counter)

    def answered(self, path: str) -> None:
        """A call was answered as it should be."""
        self.heard = self.understood = True
        self.worked.add(path)
        del self._lost[path]

    def failed(self, path: str, failure: Failure) -> None:
        """A call was refused, or went unanswered however often it was repeated.

        What is refused may be what was asked for; an API that is missing, or not for these keys, is so from the
        first call on.
        """
        self.heard = self.heard or not isinstance(failure, Lost) or failure.status in NOT_THERE
        self.understood = self.understood or not is_foreign(failure)
        self._lost[path] += isinstance(failure, Lost)
        is_missing = isinstance(failure, Denied) or failure.status in NOT_THERE or NOT_FOR_US.search(failure.words)
        if self._lost[path] >= MOST_LOST or (is_missing and path not in self.worked):
            self.gone[path] = failure


_ON_ITS_WAY_SECONDS: Final = 1.0
"""A call that was under way when its process was killed may arrive so long after it was noted: an honest trip is
over by then."""

_NOTED_WITHIN_SECONDS: Final = 0.1
"""So many of these may go by before it is noted: a touch for every call would be most of a quick run's work."""

_ONE_CLOSING_SECONDS: Final = 10.0
"""Calls under way together are refused together, each with whole seconds from when it was answered: what differs by
no more is one end, and a person is told one time for it."""

_IN_FLIGHT_SECONDS: Final = 60.0
"""If the network held it up, it may arrive just before the next process starts, but not when that is later than
this: an answer is waited for as long."""

_MOST_CALLS: Final = 10**9
"""Of a day, that are believed: at the highest limit that is believed nobody makes a tenth of them."""

_AHEAD: Final = 25
"""Calls that are written down before they are made: a process that is killed counts as having made them all. So
many are allowed in one period, which is little to lose of a day."""


@dataclass
class Account:
    """What the file says: `process` had it last, and `closed` it; `period` is the longest it kept; `rate` was
    told, `bulk_rate` for bulk calls, `share_batch` is the most shares that a call may hold (0: as many as are
    tried); `takes_arrays`: several in a call were processed; `repeats_harm`: sharing again by the same activity was
    refused when it was tried, or failed; `ignores_owner`: an activity posted by itself did not get its owner;
    `calls` were made on `day`, or may have been; LeadSquared wants no call before `closed_until`, in seconds since
    1970; `host` is where the account is; `asked`: which account a key is of was asked, and not told; `shared`: a
    share was processed."""

    process: int = 0
    closed: bool = False
    period: float = 0.0
    rate: Rate | None = None
    day: str = ""
    calls: int = 0
    bulk_rate: Rate | None = None
    share_batch: int = 0
    ignores_owner: bool = False
    closed_until: float = 0.0
    host: str = ""
    asked: bool = False
    takes_arrays: bool = False
    repeats_harm: bool = False
    shared: bool = False

    @classmethod
    def read(cls, file: Path | str) -> Account:
        """The file's text, or this; one that is torn says nothing, not even that it was closed. Raises OSError."""
        try:
            told = json.loads(file if isinstance(file, str) else file.read_bytes())
        except (ValueError, RecursionError):
            told = None
        kinds = {name: type(default) for name, default in vars(cls()).items()}
        known: dict[str, Any] = {}
        for name, value in told.items() if isinstance(told, dict) else ():
            if name in {"rate", "bulk_rate"}:
                with suppress(ValueError, TypeError):
                    known[name] = limit if is_believed(limit := Rate.parse(value)) else None
            elif type(value) is kinds.get(name) and (name not in _BOUNDS or 0 <= value <= _BOUNDS[name]):
                known[name] = value
        return cls(**known)

    def joined(self, other: Account) -> Account:
        """What is known of both as of one account: their calls together, of all else what is more cautious."""
        day = max(self.day, other.day)
        rates = [filter(None, pair) for pair in ((self.rate, other.rate), (self.bulk_rate, other.bulk_rate))]
        rate, bulk_rate = (min(known, key=attrgetter("per_second"), default=None) for known in rates)
        return Account(
            closed=self.closed and other.closed,
            period=max(self.period, other.period),
            rate=rate,
            day=day,
            calls=min(self.calls_on(day) + other.calls_on(day), _MOST_CALLS),
            bulk_rate=bulk_rate,
            share_batch=min(filter(None, (self.share_batch, other.share_batch)), default=0),
            ignores_owner=self.ignores_owner or other.ignores_owner,
            closed_until=max(self.closed_until, other.closed_until),
            host=self.host or other.host,
            takes_arrays=self.takes_arrays and other.takes_arrays,
            repeats_harm=self.repeats_harm or other.repeats_harm,
            shared=self.shared and other.shared,
        )

    def calls_on(self, day: str) -> int:
        """Calls made on a day, with those that a killed process may have made."""
        return self.calls if day == self.day else 0


_BOUNDS: Final = {
    "process": float("inf"),
    "period": LONGEST_PERIOD + CLOCK_MARGIN,
    "calls": _MOST_CALLS,
    "share_batch": 25,
    "closed_until": float("inf"),  # `check_open` knows what the time is
}
"""The greatest value of each number that is believed; the least is nothing."""


class AccountMemory:
    """The file behind a pacer, and what is known of the `account`, by this run or an earlier one.

    It is opened with the account's turn, and closed before that is given back.
    A context manager. It may be opened again: whatever others did meanwhile is known then. No call may leave before
    what is being noted elsewhere (`noting`) is.
    """

    noting: Future[Any] | None = None

    def __init__(self, file: Path, wall_clock: Callable[[], float] = time.time, host: str = "") -> None:
        self._file, self._host = file, host
        self._wall_clock = wall_clock
        self._last = self._noted = 0.0
        self._age: float | None = None
        self._is_open = False
        self._was_closed = True
        self._period_before = 0.0
        self.account = Account()
        self._written = self._ahead = 0
        self._written_at = 0.0

    def __enter__(self) -> AccountMemory:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # What ends by an exception, a second Ctrl-C say, may have cut off calls under way.
        if kind is None:
            self.close()

    def open(self) -> None:
        """Read what is known. Raises BatchShareError when the folder can't be written."""
        self._age, self._was_closed, self._period_before, today = None, True, 0.0, self._today()
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._file.exists():
                self._last = self._file.stat().st_mtime
            before = self.heed(self._file)
            now = replace(before, process=os.getpid(), closed=False, period=0.0, host=self._host or before.host)
            self.account = replace(now, day=today, calls=before.calls_on(today))
            self._write()
        except OSError as error:
            raise unwritable(self._file.parent, error) from None
        self._is_open = True

    def heed(self, file: Path) -> Account:
        """Wait for the calls of another file, too, as for this one's; what that says. Raises OSError."""
        if not file.exists():
            return Account()
        known = Account.read(file)
        age = self._wall_clock() - file.stat().st_mtime
        self._age = age if self._age is None else min(self._age, age)
        self._was_closed = self._was_closed and known.closed
        self._period_before = max(self._period_before, known.period, known.rate.period if known.rate else 0.0)
        return known

    def move(self, file: Path) -> None:
        """Keep in another file from now on what was kept in this one, with all that is known there already.

        The turn of both must be ours. Raises BatchShareError when the folder can't be written.
        """
        mine, before, self._file = self.account, self._file, file
        try:
            self.account = replace(mine.joined(self.heed(file)), process=os.getpid(), period=mine.period)
            self._last = max(self._last, file.stat().st_mtime if file.exists() else 0.0)
            self._write()
            before.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(file.parent, error) from None

    def close(self) -> None:
        """Say that no call is under way any more. What is closed already belongs to whoever has opened it since."""
        if self._is_open:
            self._is_open, self._ahead = False, 0
            self.keep(closed=True)

    def seconds_to_wait(self, period: float) -> float:
        """Seconds until the period after the last process's last call is over, by its rates and by this one's."""
        if self.account.period < period:
            self.keep(period=period)
        if self._age is None:
            return 0.0
        period = max(period, self._period_before)
        # A clock that was set back makes the last call look later than now: then it counts as now.
        age = max(0.0, self._age)
        if not self._was_closed and age < period + _IN_FLIGHT_SECONDS:
            return period + max(0.0, _ON_ITS_WAY_SECONDS - age)
        return max(0.0, period - age)

    def note(self) -> None:
        """Remember that the account was called, or answered, just now."""
        self._last = self._wall_clock()
        if abs(self._last - self._noted) < _NOTED_WITHIN_SECONDS:
            return
        self._noted = self._last
        # An answer that has just come must reach the ledger, whatever becomes of this file.
        with suppress(OSError):
            os.utime(self._file, (self._last, self._last))

    def keep(self, **known: Any) -> None:
        """Remember what is `known` of the account from now on, by the names that an Account has for it."""
        before, self.account = self.account, replace(self.account, **known)
        if self.account != before:
            with suppress(OSError):
                self._write()

    def close_for(self, seconds: float) -> dt.datetime:
        """Remember that LeadSquared wants no call for so long, LONGEST_CLOSED at most; until when that is."""
        until = self._wall_clock() + seconds
        if abs(until - self.account.closed_until) > _ONE_CLOSING_SECONDS:
            self.keep(closed_until=until)
        return dt.datetime.fromtimestamp(self.account.closed_until, dt.UTC)

    def check_open(self) -> None:
        """Raises AccountClosed if LeadSquared wants no call yet; a time that is too far away counts as none."""
        now = self._wall_clock()
        if now < self.account.closed_until <= now + LONGEST_CLOSED:
            raise AccountClosed(dt.datetime.fromtimestamp(self.account.closed_until, dt.UTC))

    def spend(self, most: int | None) -> str:
        """Count a call of today, and return which day that is.

        Raises DailyLimitReached, and counts nothing, if `most` were made already; AccountClosed.
        """
        self.check_open()
        today = self._today()
        if today != self.account.day:
            self.account, self._written = replace(self.account, day=today, calls=0), 0
        if most is not None and self.account.calls >= most:
            raise DailyLimitReached(most, self.account.calls)
        self.account.calls += 1  # no other account: that would be made anew for each call
        if self.account.calls > self._written:
            # The quicker the last ones were used up, the more are written down ahead.
            before, self._written_at = self._written_at, self._wall_clock()
            lasted = self._written_at - before
            if 0 <= lasted < _NOTED_WITHIN_SECONDS:
                self._ahead *= 2
            elif not 0 <= lasted < 3 * _NOTED_WITHIN_SECONDS:
                self._ahead = _AHEAD
            with suppress(OSError):
                self._write()
        return today

    def give_back(self, day: str) -> None:
        """A call that was counted on `day` never left. What was written down ahead stays, for the next one."""
        if day == self.account.day:  # else it was counted before midnight, and a new count has begun
            self.account.calls -= 1

    def _today(self) -> str:
        return dt.datetime.fromtimestamp(self._wall_clock(), DAY_ZONE).date().isoformat()

    def _write(self) -> None:
        """Change the text, whole or not at all, but not the time: opening and closing are no calls."""
        new = self._file.with_suffix(".new")
        self._written = self.account.calls + self._ahead
        write_private(new, json.dumps(vars(self.account) | {"calls": self._written}, default=str))
        os.utime(new, (self._last, self._last))
        new.replace(self._file)


def unwritable(folder: Path, error: OSError) -> BatchShareError:
    """The error of a state folder that can't be written."""
    return BatchShareError(
        f"The state folder {folder} can't be written ({error.strerror}); "
        "set BATCH_SHARE_STATE_FOLDER to one that can.",
        problem=f"The state folder can't be written ({error.strerror}).",
        hint="Make it writable, or set another one.",
    )


def account_name(*parts: str | SecretStr) -> str:
    """A file name for what its parts name, with no way back to a key.

    They are a host and a key; "org", a host and an OrgId, which is the same for each of an account's keys; a host.
    """
    known = "\n".join(each if isinstance(each, str) else each.get_secret_value() for each in parts)
    return base64.b32encode(hashlib.blake2b(known.encode(), digest_size=10).digest()).decode().lower()


def accounts_of_keys(folder: Path) -> dict[str, str]:
    """Which account each key was told to be of, by names alone, in the file `identities` of a state folder.

    What is torn, missing, or no name of an account, says nothing.
    """
    try:
        told = json.loads((folder / "identities").read_bytes())
    except (OSError, ValueError, RecursionError):
        told = None
    known = told.items() if isinstance(told, dict) else ()
    return {key: name for key, name in known if isinstance(name, str) and _NAME.fullmatch(name)}


def remember_account(folder: Path, key: str, account: str) -> None:
    """Note which account a successful answer told a key to be of. Raises BatchShareError: it can't be written."""
    file = folder / "identities"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(file.with_suffix(".lock"), mode=0o600, timeout=20):  # held for a write: a second at the most
            write_private(new := file.with_suffix(".new"), json.dumps(accounts_of_keys(folder) | {key: account}))
            new.replace(file)
    except OSError as error:  # a timeout of the lock too
        raise unwritable(folder, error) from None


_NAME: Final = re.compile("[a-z2-7]{16}")


def name_of_account(settings: Settings) -> str:
    """By what the account is known on this machine: until told, by its key. Raises SettingsError if none is set."""
    host, access_key, _ = settings.credentials()
    own = account_name(host, access_key)
    return accounts_of_keys(settings.state_folder).get(own, own)


def names_of_account(settings: Settings) -> frozenset[str]:
    """By what the account may be known: all names at its host but those that were told to be another one's.

    Where that was not told of both, nobody can say that they are not the same account. Raises SettingsError if none
    is set.
    """
    host, access_key, _ = settings.credentials()
    own, told = account_name(host, access_key), accounts_of_keys(settings.state_folder)
    mine = told.get(own, own)
    files = any_account(settings.state_folder, host)
    here = {mine, own, *(file.stem for file in files if file.suffix == ".account")}
    if own in told:
        here -= {*told.values()} - {mine}
    return frozenset(here | {key for key, account in told.items() if account in here})


def names_of_others(settings: Settings) -> set[str]:
    """By what accounts are known that are not the one in force, without doubt: it was told of both.

    Raises SettingsError if none is set.
    """
    host, access_key, _ = settings.credentials()
    told = accounts_of_keys(settings.state_folder)
    mine = told.get(account_name(host, access_key))
    return {name for each in told.items() if mine not in {None, each[1]} for name in each}


KNOWN_FOR_DAYS: Final = 30
"""How long what was found out is taken to hold: plans and settings of accounts change, seldom within a month."""


def tried(settings: Settings) -> Mapping[str, str] | None:
    """The APIs that the account does not have, by path, and what it said; None if nobody has tried it of late."""
    for name in names_of_account(settings):
        file = settings.data_folder / f"verify-{name}.json"
        with suppress(OSError, ValueError, KeyError):
            if time.time() - file.stat().st_mtime < KNOWN_FOR_DAYS * 86_400:
                return {str(path): str(said) for path, said in json.loads(file.read_bytes())["gone"].items()}
    return None


ASK_AGAIN: Final = 0.5
"""Seconds between two tries to get the turn: nobody who waits for a run notices them, and they cost nothing."""


class AccountTurn:
    """The turn to call the account whose memory is in `file`: taken, given back, and taken again.

    It is the turn of all files that `besides` gives too: all at once or none, so that no two wait for each other.
    Before it is awaited it calls `on_wait` with its `holder`, as far as that is known and not this process.
    """

    def __init__(
        self, file: Path, on_wait: Callable[[Holder], None], besides: Callable[[], Iterable[Path]] = tuple
    ) -> None:
        self.file, self._on_wait, self._besides = file, on_wait, besides
        self._locks: dict[Path, FileLock] = {}
        self.is_awaited = False
        self.holder = Holder()

    @property
    def is_held(self) -> bool:
        """Whether it is ours now."""
        return self.file in self._locks

    async def take(self) -> None:
        """Wait until nobody else has it. Raises BatchShareError if the folder can't be written."""
        try:
            while not self.is_held:
                try:
                    self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    for file in chain([self.file], self._besides()):
                        if file in self._locks:
                            continue
                        lock, process = FileLock(file.with_suffix(".lock"), mode=0o600, thread_local=False), 0
                        with suppress(OSError):
                            process = Account.read(file).process  # as whoever holds it has left it there
                        self.holder = Holder(process if process not in {0, os.getpid()} else None)
                        lock.acquire(timeout=0)
                        self._locks[file] = lock
                except Timeout:
                    self.give_back()
                except OSError as error:
                    self.give_back()
                    raise unwritable(self.file.parent, error) from None
                else:
                    return
                if not self.is_awaited:
                    self.is_awaited = True
                    self._on_wait(self.holder)
                await asyncio.sleep(ASK_AGAIN)  # a lock tells nobody that it is free
        finally:
            self.is_awaited = False

    def only(self, file: Path) -> AccountTurn:
        """The turn of this file alone: taken from this one, which is to be given back, or yet to be taken."""
        turn = AccountTurn(file, self._on_wait)
        if file in self._locks:
            turn._locks[file] = self._locks.pop(file)
        return turn

    def give_back(self) -> None:
        """Let another have it. Once is enough, and twice does no harm."""
        while self._locks:
            self._locks.popitem()[1].release()


def any_account(folder: Path, host: str) -> Iterator[Path]:
    """The files of which nobody else may have the turn while a key, of nobody knows which account, is used.

    One that is the host's comes first: whoever has its turn may make another account known.
    """
    yield folder / f"{account_name(host)}.host"
    for file in sorted(folder.glob("*.account")):  # not before: the turn of the host's is had by now
        with suppress(FileNotFoundError):  # it has just become another's
            if Account.read(file).host in {"", host}:
                yield file
