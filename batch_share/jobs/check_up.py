"""Whether everything is here as a run needs it: the facts of a check-up, and what they mean.

The facts are gathered with calls that change nothing, each tried once, and a look at this machine; one call says
whose the keys are, and whether they can share leads. What they mean, facts in and a Finding out, is without I/O.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from batch_share.common import __version__
from batch_share.errors import BatchShareError, SettingsError, sentence
from batch_share.leadsquared.guesses import CLOCK_SKEW, DAY_ZONE
from batch_share.leadsquared.outcome import Denied, Lost, NotSent, Refused, ShareStatus, Throttled
from batch_share.leadsquared.people import KeyUser, key_user, read_key_user
from batch_share.leadsquared.protocol import (
    Answer,
    activity_types,
    clean,
    read_activity_types,
    read_date,
    read_status,
    share_status,
)
from batch_share.proxy import proxy_for
from batch_share.sending.calls import ask_key_user, ask_once
from batch_share.sending.session import open_connection, remembered
from batch_share.settings import load_settings, origins

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batch_share.common import Rate
    from batch_share.leadsquared.outcome import Failure
    from batch_share.proxy import Proxy
    from batch_share.sending.onlookers import Waiter
    from batch_share.sending.session import Connection, Course
    from batch_share.settings import Settings

SKEW_WARNING: Final = 30.0
SKEW_PROBLEM: Final = CLOCK_SKEW
"""Seconds between this machine's clock and LeadSquared's from which it is told, and from which it is wrong."""

LITTLE_SPACE: Final = 1_000_000_000
NO_SPACE: Final = 100_000_000
"""Bytes free below which a large sheet, and any sheet, may not have room for its ledger and results."""

NEARLY_SPENT: Final = 0.9
"""Part of a day's calls from which it is told."""

_OUR_HOST: Final = re.compile(r"\bapi[a-z0-9-]*\.leadsquared\.com\b", re.IGNORECASE)
_NAMED_HOST: Final = re.compile(r"(?:https?://)?((?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::\d+)?)(?:/.*)?", re.IGNORECASE)
_READ_BY_OTHERS: Final = 0o077
_NOT_FOUND: Final = 404

_TYPES: Final = 20
"""Activity types that are listed."""

ADMINISTRATOR: Final = "administrator"
"""Whose keys alone can share leads."""


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, in a sentence, and what to do next where there is something to do."""

    check: str
    level: Level
    words: str
    next: str = ""


def of_settings(origins: Mapping[str, str], trouble: str) -> Finding:
    """Where host and keys come from; `trouble` is why there are none, or why no setting can be read."""
    if trouble:
        return Finding("settings", Level.PROBLEM, sentence(trouble), "Fix that first, and check again.")
    places = dict.fromkeys(origins[name] for name in ("host", "access_key", "secret_key"))
    return Finding("settings", Level.OK, f"Host and keys are set, from: {', '.join(places)}.")


def of_proxy(proxy: Proxy | None, trouble: str) -> Finding:
    """Which proxy calls go through; `trouble` is why the one that is set can't be used."""
    if trouble:
        return Finding("proxy", Level.PROBLEM, sentence(trouble), "Fix that first, and check again.")
    if proxy is None:
        return Finding("proxy", Level.OK, "Calls go straight to the host: no proxy is set for it.")
    return Finding("proxy", Level.OK, f"Calls go through {proxy}, from {proxy.origin}.")


def of_keys(
    user: KeyUser | Failure | None,
    host: str,
    why_not: str,
    sharing: ShareStatus | Failure | None = None,
    proxy: Proxy | None = None,
) -> Finding:
    """Whether LeadSquared knows the keys; `why_not` is why it was not asked, `sharing` what another call told."""
    match user:
        case None:
            return Finding("keys", Level.WARNING, f"Not tried: {sentence(why_not)}")
        case KeyUser():
            return Finding("keys", Level.OK, f"LeadSquared knows them: they are user {user.id}'s.")
        case Denied():
            words = f"LeadSquared refused them (HTTP {user.status}): {sentence(user.words)}"
            return Finding("keys", Level.PROBLEM, words, _after_denial(user.words, host))
        case Throttled():
            words = f"Unknown: LeadSquared refused the call as one too many: {sentence(user.words)}"
            return Finding("keys", Level.WARNING, words, "Check again when other programs make fewer calls.")
        case NotSent():
            words = f"{host} could not be reached: {sentence(user.words)}"
            then = "Fix that, and check again." if user.hopeless else _after_no_connection(proxy)
        case _ if isinstance(sharing, ShareStatus | Refused) and sharing.status != _NOT_FOUND:
            words = f"LeadSquared accepts them, but does not say whose they are: {sentence(user.words)}"
            return Finding("keys", Level.WARNING, words, "Nothing, if they are an administrator's.")
        case _:
            words = f"{host} did not answer as LeadSquared does: {sentence(user.words)}"
            then = "Check that the host is your region's, and try again."
    return Finding("keys", Level.PROBLEM, words, then)


def _after_no_connection(proxy: Proxy | None) -> str:
    if proxy is not None:
        return f"Check the host, the network, and the proxy {proxy}, which is from {proxy.origin}."
    return "Check the host, the network, and the proxy or firewall: HTTPS_PROXY names a proxy that calls need."


def _after_denial(words: str, host: str) -> str:
    named = _OUR_HOST.search(words)
    if named and named[0].lower() != urlsplit(host).netloc:
        return f"Set the host that it names: BATCH_SHARE_HOST=https://{named[0].lower()}."
    return "Copy both keys again, from an active administrator, and check that the host is your region's."


def of_role(user: KeyUser | Failure | None) -> Finding:
    """Whether the keys' user may share leads."""
    if not isinstance(user, KeyUser):
        return _unknown("administrator")
    role = user.role.strip()
    if not role:
        return Finding(
            "administrator",
            Level.WARNING,
            "LeadSquared does not say which role the keys' user has.",
            "Look in LeadSquared, under the users: only an Administrator's keys share leads.",
        )
    if role.casefold() == ADMINISTRATOR:
        return Finding("administrator", Level.OK, "The keys' user is an Administrator.")
    words = f"The keys' user is a {role}, and LeadSquared lets only an Administrator share leads."
    return Finding("administrator", Level.PROBLEM, words, "Set the keys of an Administrator.")


def of_region(user: KeyUser | Failure | None, host: str) -> Finding:
    """Whether the host is the one that LeadSquared names for the account."""
    if not isinstance(user, KeyUser):
        return _unknown("region")
    match = _NAMED_HOST.fullmatch(user.api_host)
    named = match[1].lower() if match else ""
    if not named:
        return Finding(
            "region", Level.WARNING, "LeadSquared does not say which host the account's calls belong to."
        )
    if named == urlsplit(host).netloc:
        return Finding("region", Level.OK, f"{named} is the account's host.")
    words = f"The host is set to {urlsplit(host).netloc}, but the account's calls belong to {named}: others fail."
    return Finding("region", Level.PROBLEM, words, f"Set BATCH_SHARE_HOST=https://{named}.")


def of_org(user: KeyUser | Failure | None) -> Finding:
    """Whether LeadSquared says which account the keys are of, so that all of its keys can share its one limit."""
    if not isinstance(user, KeyUser):
        return _unknown("account")
    if user.org_id:
        return Finding(
            "account", Level.OK, "LeadSquared says which account it is: all its keys share one limit here."
        )
    return Finding(
        "account",
        Level.WARNING,
        "LeadSquared does not say which account the keys are of (no OrgId), so each key is taken for one.",
        "Use one key for the account on this machine: each other one would be given the whole limit again.",
    )


def of_types(types: dict[int, str] | Failure | None) -> Finding:
    """Which activity types there are, each by its code and name."""
    if types is None:
        return _unknown("activity types")
    if not isinstance(types, dict):
        why = f": {sentence(types.words)}" if types.words else "."
        return Finding("activity types", Level.WARNING, f"LeadSquared does not list them{why}")
    named = [f"{code} {types[code]}".rstrip() for code in sorted(types)]
    more = f" and {len(named) - _TYPES:,} more" if len(named) > _TYPES else ""
    return Finding("activity types", Level.OK, f"{', '.join(named[:_TYPES])}{more}.")


def of_sharing(status: ShareStatus | Failure | None) -> Finding:
    """Whether the sharing API answers; nobody can tell without sharing whether it is switched on."""
    if status is None:
        return _unknown("sharing")
    reported = f" “{status.words}”" if status.words else ""
    if isinstance(status, Throttled | NotSent):
        return Finding("sharing", Level.WARNING, f"Not known:{reported or ' no answer'}.", "Ask again.")
    if _is_closed(status):
        words = f"The EntityAccess API refused the call (HTTP {status.status}):{reported}."
        return Finding("sharing", Level.PROBLEM, words, "Ask LeadSquared's support to switch sharing on.")
    if not isinstance(status, ShareStatus | Refused):
        words = f"The EntityAccess API did not answer as documented:{reported}."
        return Finding("sharing", Level.WARNING, words, "Ask again; then ask LeadSquared's support.")
    words = f"The EntityAccess API answers; for a request that never was, it says{reported or ' nothing'}."
    return Finding("sharing", Level.OK, f"{words} Only a first share tells whether sharing is switched on.")


def _is_closed(status: ShareStatus | Failure) -> bool:
    """Whether it was not the request Id that was refused, but the question."""
    if isinstance(status, Refused):
        return status.status == _NOT_FOUND or "unauthorized" in status.type.lower()
    return isinstance(status, Denied)


def of_clock(skew: float | None) -> Finding:
    """How far this machine's clock is from LeadSquared's, in seconds; ahead is positive."""
    if skew is None:
        return Finding("clock", Level.WARNING, "Unknown: no answer gave LeadSquared's time.")
    far = abs(skew)
    if far <= SKEW_WARNING:
        return Finding("clock", Level.OK, "This machine's clock agrees with LeadSquared's.")
    words = f"This machine's clock is {_length(far)} {'ahead of' if skew > 0 else 'behind'} LeadSquared's."
    level = Level.PROBLEM if far > SKEW_PROBLEM else Level.WARNING
    return Finding(
        "clock", level, words, "Set the clock: lost calls are looked for, and shares with an end are timed, by it."
    )


def _length(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def of_rate(rate: Rate | None, learned: Rate | None) -> Finding:
    """The rate that is set (None: auto) beside the limit that LeadSquared told."""
    if learned is None:
        kept = f"{rate} is used" if rate else "the default is used until it does"
        return Finding("rate", Level.OK, f"LeadSquared has not reported a limit on this machine yet; {kept}.")
    if rate is not None and rate.per_second > learned.per_second:
        words = f"The rate is set to {rate}, but LeadSquared reported a limit of {learned}."
        return Finding("rate", Level.WARNING, words, f"Set BATCH_SHARE_RATE={learned}, or auto.")
    return Finding("rate", Level.OK, f"LeadSquared reported a limit of {learned}; {rate or 'that'} is used.")


def of_day(calls: int, limit: int | None) -> Finding:
    """The calls made today from this machine beside the daily limit."""
    if limit is None:
        return Finding("calls today", Level.OK, f"{calls:,} from this machine; no daily limit is set.")
    words = f"{calls:,} from this machine, of {limit:,} allowed."
    if calls >= limit:
        return Finding("calls today", Level.PROBLEM, words, "Resume tomorrow: the day ends at midnight UTC.")
    if calls >= NEARLY_SPENT * limit:
        return Finding("calls today", Level.WARNING, words, "Larger sheets will not be done before midnight UTC.")
    return Finding("calls today", Level.OK, words)


def of_folder(check: str, folder: str, trouble: str) -> Finding:
    """Whether files can be written in a folder; `trouble` is why not."""
    if not trouble:
        return Finding(check, Level.OK, f"Files can be written in {folder}.")
    other = "Set BATCH_SHARE_STATE_FOLDER to another" if check == "state folder" else "Work in another"
    return Finding(
        check, Level.PROBLEM, f"No file can be written in {folder}: {sentence(trouble)}", f"{other} folder."
    )


def of_space(free: int) -> Finding:
    """Bytes free where the ledger and the results go."""
    words = f"{free / 1e9:,.1f} GB are free in the current folder."
    if free >= LITTLE_SPACE:
        return Finding("free space", Level.OK, words)
    level = Level.PROBLEM if free < NO_SPACE else Level.WARNING
    return Finding(
        "free space", level, words, "Make room: a large sheet's ledger and results take as much as it does."
    )


def of_versions(versions: Mapping[str, str]) -> Finding:
    """What is at work here, for whoever is asked for help."""
    return Finding("versions", Level.OK, ", ".join(f"{name} {version}" for name, version in versions.items()) + ".")


def of_env_file(mode: int | None, *, is_foreign: bool = False) -> Finding:
    """Whether others can read `.env`; None: there is none, or its system has no such permissions.

    What is another user's sets nothing, whoever can read it.
    """
    if mode is None:
        return Finding(".env", Level.OK, "There is no .env here that others could read.")
    if is_foreign:
        return Finding(".env", Level.WARNING, ".env is another user's.", "Check what it says, then make it yours.")
    if mode & _READ_BY_OTHERS:
        words = f"Others on this machine may open .env (its permissions are {mode & 0o777:o})."
        return Finding(".env", Level.WARNING, words, "chmod 600 .env")
    return Finding(".env", Level.OK, "Only you can read .env.")


def _unknown(check: str) -> Finding:
    return Finding(check, Level.WARNING, "Unknown as long as the keys are not known to work.")


async def check_keys(settings: Settings, waiter: Waiter, course: Course | None = None) -> None:
    """Raises AccessDenied for wrong keys, BatchShareError for those of nobody, or no administrator; as `read`."""
    async with open_connection(settings, waiter, course) as connection:
        user = await ask_key_user(connection)
    if not isinstance(user, KeyUser):
        raise BatchShareError(
            f"LeadSquared does not say whose the keys are ({key_user().path}: {user.words.rstrip('.')}). If the "
            "host is right, --no-check keeps them all the same.",
            problem=f"LeadSquared does not say whose the keys are ({user.words.rstrip('.')}).",
            hint="Check the host; if it is right, the keys can be kept unchecked.",
        )
    if user.role and user.role.strip().casefold() != ADMINISTRATOR:
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
    types: dict[int, str] | Failure | None = None
    skew: float | None = None
    why_not: str = ""
    proxy: Proxy | None = None
    no_proxy: str = ""


async def check_up(given: Settings | None = None) -> list[Finding]:
    """Every finding, in the order in which they are best fixed, of the settings in force unless some are given.

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
        found = [*_of_account(host, asked, "", places), of_proxy(asked.proxy, asked.no_proxy)]
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
        async with open_connection(settings, Passer(), identify=False) as connection:
            await _ask(connection, asked, now)
    except BatchShareError as error:
        asked.why_not = str(error)
    return asked


async def _ask(connection: Connection, asked: Replies, now: Callable[[], dt.datetime]) -> None:
    asked.user = await ask_once(connection, key_user(), _noting_time(asked, now, _read_user))
    if isinstance(asked.user, KeyUser | Refused | Lost):
        asked.sharing = await ask_once(connection, share_status(NO_REQUEST), read_status)
        asked.types = await ask_once(connection, activity_types(), read_activity_types)


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
        reported = read_date(answer.headers.get("date", ""))
        asked.skew = None if reported is None else (now() - reported).total_seconds()
        return parse(answer)

    return parse_and_note


def _of_account(host: str, asked: Replies, trouble: str, known: dict[str, str]) -> list[Finding]:
    return [
        of_settings(known, trouble),
        of_keys(asked.user, host, asked.why_not, asked.sharing, asked.proxy),
        of_role(asked.user),
        of_region(asked.user, host),
        of_org(asked.user),
        of_types(asked.types),
        of_sharing(asked.sharing),
        of_clock(asked.skew),
    ]


def _of_use(settings: Settings) -> list[Finding]:
    account = remembered(settings)
    made = account.calls_on(dt.datetime.now(DAY_ZONE).date().isoformat())
    folder = settings.state_folder
    return [
        of_rate(settings.rate, account.learned),
        of_day(made, settings.daily_limit),
        of_folder("state folder", str(folder), trouble_writing(folder)),
    ]


def _of_machine() -> list[Finding]:
    here = Path.cwd()
    return [
        of_folder("folder", str(here), trouble_writing(here)),
        of_space(shutil.disk_usage(here).free),
        _of_env_file(here / ".env"),
        of_versions(_versions()),
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
        return of_env_file(None)
    found = file.stat()
    return of_env_file(found.st_mode, is_foreign=found.st_uid not in {os.geteuid(), 0})


def _versions() -> dict[str, str]:
    return {
        "batch_share": __version__,
        "Python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "SQLite": sqlite3.sqlite_version,
    }
