"""The facts of a check-up: calls that change nothing, each tried once, and a look at this machine.

One of them says whose the keys are, and whether they can share leads. What the facts mean says `findings`.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from batch_share.common import __version__
from batch_share.errors import BatchShareError, SettingsError
from batch_share.jobs import findings
from batch_share.leadsquared.guesses import DAY_ZONE
from batch_share.leadsquared.outcome import Lost, Refused, Throttled
from batch_share.leadsquared.people import KeyUser, key_user, read_key_user
from batch_share.leadsquared.protocol import Answer, clean, read_date, read_status, share_status
from batch_share.proxy import proxy_for
from batch_share.sending.calls import consult, heed
from batch_share.sending.session import open_connection, remembered
from batch_share.settings import load_settings, origins

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch_share.jobs.findings import Finding
    from batch_share.leadsquared.outcome import Failure, ShareStatus
    from batch_share.leadsquared.protocol import Call
    from batch_share.proxy import Proxy
    from batch_share.sending.onlookers import Waiter
    from batch_share.sending.session import Connection, Course
    from batch_share.settings import Settings


async def check_keys(settings: Settings, waiter: Waiter, course: Course | None = None) -> None:
    """Raises AccessDenied for wrong keys, BatchShareError for those of nobody, or no administrator; as `read`."""
    async with open_connection(settings, waiter, course) as connection:
        user = await consult(connection, key_user(), read_key_user)
    if not isinstance(user, KeyUser):
        raise BatchShareError(
            f"LeadSquared does not say whose the keys are ({key_user().path}: {user.words.rstrip('.')}). If the "
            "host is right, --no-check keeps them all the same.",
            problem=f"LeadSquared does not say whose the keys are ({user.words.rstrip('.')}).",
            hint="Check the host; if it is right, the keys can be kept unchecked.",
        )
    if user.role and user.role.strip().casefold() != findings.ADMINISTRATOR:
        raise BatchShareError("The keys are not an administrator's, and LeadSquared lets nobody else share leads.")


T = TypeVar("T")

NO_REQUEST: Final = "00000000-0000-0000-0000-000000000000"
"""A request Id that no share was ever given."""


class AccountBusy(BatchShareError):
    """Another process of this machine is calling the account."""

    def __init__(self, process: int | None) -> None:
        whose = f" (process {process})" if process else ""
        super().__init__(f"another batch_share{whose} is using the account: ask again when it has ended")


class Passer:
    """The Waiter of a check-up: it waits for nobody."""

    def wait_turn(self, process: int | None) -> None:
        """Raises AccountBusy."""
        raise AccountBusy(process)


@dataclass(slots=True)
class Replies:
    """What LeadSquared said: `skew` is how many seconds this machine's clock is ahead, `why_not` why nothing.

    It was asked through the `proxy`; `no_proxy` is why the one that is set can't be used.
    """

    user: KeyUser | Failure | None = None
    sharing: ShareStatus | Failure | None = None
    skew: float | None = None
    why_not: str = ""
    proxy: Proxy | None = None
    no_proxy: str = ""


async def check_up(given: Settings | None = None) -> list[Finding]:
    """Every finding, in the order in which they are best mended, of the settings in force unless some are given.

    Raises nothing foreseeable.
    """
    try:
        settings = given or load_settings()
    except SettingsError as error:
        return [*_of_account("", Replies(why_not="the settings can't be read"), str(error), {}), *_of_machine()]
    try:
        host, *_ = settings.account()
    except SettingsError as error:
        asked = Replies(why_not=f"{error.setting} is not set")
        found = _of_account("", asked, str(error), {})
    else:
        asked = await ask(settings)
        places = origins() if given is None else dict.fromkeys(("host", "access_key", "secret_key"), "the program")
        found = [*_of_account(host, asked, "", places), findings.of_proxy(asked.proxy, asked.no_proxy)]
    return [*found, *_of_use(settings), *_of_machine()]


async def ask(settings: Settings, now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)) -> Replies:
    """Ask LeadSquared who the keys' user is, and then what it says of a request that never was."""
    asked = Replies()
    try:
        asked.proxy = proxy_for(settings.account()[0], settings.proxy)
    except SettingsError as error:
        asked.why_not = asked.no_proxy = str(error)
        return asked
    try:
        async with open_connection(settings, Passer()) as connection:
            await _ask(connection, asked, now)
    except BatchShareError as error:
        asked.why_not = str(error)
    return asked


async def _ask(connection: Connection, asked: Replies, now: Callable[[], dt.datetime]) -> None:
    asked.user = await _once(connection, key_user(), _noting_time(asked, now, _read_user))
    if isinstance(asked.user, KeyUser | Refused | Lost):
        asked.sharing = await _once(connection, share_status(NO_REQUEST), read_status)


def _read_user(answer: Answer) -> KeyUser | Failure:
    """The keys' user, fit to be printed: on one line, and with no piece of a key."""
    user = read_key_user(answer)
    if not isinstance(user, KeyUser):
        return user
    return replace(
        user,
        id=answer.redact(user.id),
        role=answer.redact(clean(user.role)),
        api_host=answer.redact(user.api_host),
    )


def _noting_time(
    asked: Replies, now: Callable[[], dt.datetime], parse: Callable[[Answer], T]
) -> Callable[[Answer], T]:
    """`parse`, which also notes how far the clocks are apart: any answer tells the time, a refusal too."""

    def parse_and_note(answer: Answer) -> T:
        asked.skew = _skew(answer, now())
        return parse(answer)

    return parse_and_note


def _skew(answer: Answer, now: dt.datetime) -> float | None:
    told = read_date(answer.headers.get("date", ""))
    return None if told is None else (now - told).total_seconds()


async def _once(connection: Connection, call: Call, parse: Callable[[Answer], T | Failure]) -> T | Failure:
    """One paced and counted try. Raises DailyLimitReached, AccountClosed."""
    async with connection.pacer.slot():
        answer = await connection.send(call, connection.called())
    parsed = parse(answer) if isinstance(answer, Answer) else answer
    if isinstance(parsed, Throttled):
        heed(connection, parsed)
    return parsed


def _of_account(host: str, asked: Replies, trouble: str, known: dict[str, str]) -> list[Finding]:
    return [
        findings.of_settings(known, trouble),
        findings.of_keys(asked.user, host, asked.why_not, asked.sharing, asked.proxy),
        findings.of_role(asked.user),
        findings.of_region(asked.user, host),
        findings.of_sharing(asked.sharing),
        findings.of_clock(asked.skew),
    ]


def _of_use(settings: Settings) -> list[Finding]:
    account = remembered(settings)
    made = account.calls_on(dt.datetime.now(DAY_ZONE).date().isoformat())
    folder = settings.state_folder
    return [
        findings.of_rate(settings.rate, account.learned),
        findings.of_day(made, settings.daily_limit),
        findings.of_folder("state folder", str(folder), trouble_writing(folder)),
    ]


def _of_machine() -> list[Finding]:
    here = Path.cwd()
    return [
        findings.of_folder("folder", str(here), trouble_writing(here)),
        findings.of_space(shutil.disk_usage(here).free),
        _of_env_file(here / ".env"),
        findings.of_versions(_versions()),
    ]


def trouble_writing(folder: Path) -> str:
    """Why no file can be written in a folder, or made in the nearest one above it that is there; else nothing."""
    above = (folder.absolute(), *folder.absolute().parents)
    try:
        with tempfile.TemporaryFile(dir=next(each for each in above if each.exists())):
            return ""
    except OSError as error:
        return error.strerror or "it is refused"


def _of_env_file(file: Path) -> Finding:
    """Windows tells of no other users in a mode."""
    if os.name != "posix" or not file.is_file():
        return findings.of_env_file(None)
    found = file.stat()
    return findings.of_env_file(found.st_mode, is_foreign=found.st_uid not in {os.geteuid(), 0})


def _versions() -> dict[str, str]:
    return {
        "batch_share": __version__,
        "Python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "SQLite": sqlite3.sqlite_version,
    }
