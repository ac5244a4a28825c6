"""Whether everything is here as a run needs it: the facts of a check-up, and what they mean.

The facts are gathered with calls that change nothing, each tried once, and a look at this machine; one call says
whose the keys are, and whether they can share leads. What they mean, facts in and a Finding out, is without I/O.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import shlex
import shutil
import sqlite3
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from batch_share.common import __version__
from batch_share.errors import BatchShareError, SettingsError, sentence
from batch_share.leadsquared.account import is_foreign
from batch_share.leadsquared.guesses import CLOCK_SKEW, DAY_ZONE
from batch_share.leadsquared.people import KEY_USER, KeyUser, read_key_user
from batch_share.leadsquared.protocol import (
    ACTIVITY_TYPES,
    Answer,
    Denied,
    Lost,
    NotSent,
    Refused,
    ShareStatus,
    Throttled,
    clean,
    read_activity_types,
    read_date,
    read_status,
    share_status,
)
from batch_share.results.wording import spell_holder
from batch_share.sending.calls import FAILURES, ask_key_user, ask_once
from batch_share.sending.session import open_connection, remembered
from batch_share.settings import load_settings, origins, proxy_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch_share.common import Holder, Rate
    from batch_share.leadsquared.protocol import Failure
    from batch_share.sending.onlookers import Waiter
    from batch_share.sending.session import Course
    from batch_share.settings import Proxy, Settings

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
_UNKNOWN: Final = "Unknown as long as the keys are not known to work."
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
    """What one `check` found: its `level`, `words` that say it in a sentence, what to do `next` ("": nothing)."""

    check: str
    level: Level
    words: str
    next: str = ""


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
            then = "Copy both keys again, from an active administrator, and check that the host is your region's."
            named = _OUR_HOST.search(user.words)
            if named and named[0].lower() != urlsplit(host).netloc:
                then = f"Set the host that it names: BATCH_SHARE_HOST=https://{named[0].lower()}."
        case Throttled():
            words = f"Unknown: LeadSquared refused the call as one too many: {sentence(user.words)}"
            return Finding("keys", Level.WARNING, words, "Check again when other programs make fewer calls.")
        case NotSent():
            words = f"{host} could not be reached: {sentence(user.words)}"
            then = (
                "Check the host, the network, and the proxy or firewall: HTTPS_PROXY names a proxy that calls need."
            )
            if user.hopeless:
                then = "Fix that, and check again."
            elif proxy is not None:
                then = f"Check the host, the network, and the proxy {proxy}, which is from {proxy.origin}."
        case _ if isinstance(sharing, ShareStatus | Refused) and sharing.status != _NOT_FOUND:
            words = f"LeadSquared accepts them, but does not say whose they are: {sentence(user.words)}"
            return Finding("keys", Level.WARNING, words, "If they are an administrator's, all is well.")
        case _:
            words = f"{host} did not answer as LeadSquared does: {sentence(user.words)}"
            then = "Check that the host is your region's, and try again."
    return Finding("keys", Level.PROBLEM, words, then)


def of_user(user: KeyUser | Failure | None, host: str) -> list[Finding]:
    """Whether the keys' user may share leads, the host is the account's, and it is told which account that is.

    By that all of its keys can share its one limit.
    """
    if not isinstance(user, KeyUser):
        return [
            Finding("administrator", Level.WARNING, _UNKNOWN),
            Finding("region", Level.WARNING, _UNKNOWN),
            Finding("account", Level.WARNING, _UNKNOWN),
        ]
    role = Finding("administrator", Level.OK, "The keys' user is an Administrator.")
    if not user.role.strip():
        words = "LeadSquared does not say which role the keys' user has."
        then = "Look in LeadSquared, under the users: only an Administrator's keys share leads."
        role = Finding("administrator", Level.WARNING, words, then)
    elif user.role.strip().casefold() != ADMINISTRATOR:
        words = f"The keys' user is a {user.role.strip()}, and LeadSquared lets only an Administrator share leads."
        role = Finding("administrator", Level.PROBLEM, words, "Set the keys of an Administrator.")
    match, ours = _NAMED_HOST.fullmatch(user.api_host), urlsplit(host).netloc
    named = match[1].lower() if match else ""
    region = Finding("region", Level.OK, f"{named} is the account's host.")
    if not named:
        words = "LeadSquared does not say which host the account's calls belong to."
        region = Finding("region", Level.WARNING, words)
    elif named != ours:
        words = f"The host is set to {ours}, but the account's calls belong to {named}: others fail."
        region = Finding("region", Level.PROBLEM, words, f"Set BATCH_SHARE_HOST=https://{named}.")
    words = "LeadSquared says which account it is: all its keys share one limit here."
    account = Finding("account", Level.OK, words)
    if not user.org_id:
        words = "LeadSquared does not say which account the keys are of (no OrgId), so each key is taken for one."
        then = "Use one key for the account on all machines: each other one would be given the whole limit again."
        account = Finding("account", Level.WARNING, words, then)
    return [role, region, account]


def of_types(types: dict[int, str] | Failure | None) -> Finding:
    """Which activity types there are, each by its code and name."""
    if types is None:
        return Finding("activity types", Level.WARNING, _UNKNOWN)
    if not isinstance(types, dict):
        why = f": {sentence(types.words)}" if types.words else "."
        return Finding("activity types", Level.WARNING, f"LeadSquared does not list them{why}")
    named = [f"{code} {types[code]}".rstrip() for code in sorted(types)]
    more = f" and {len(named) - _TYPES:,} more" if len(named) > _TYPES else ""
    return Finding("activity types", Level.OK, f"{', '.join(named[:_TYPES])}{more}.")


def of_sharing(status: ShareStatus | Failure | None) -> Finding:
    """Whether the sharing API answers; nobody can tell without sharing whether it is switched on."""
    if status is None:
        return Finding("sharing", Level.WARNING, _UNKNOWN)
    reported = f" “{status.words}”" if status.words else ""
    if isinstance(status, Throttled | NotSent):
        return Finding("sharing", Level.WARNING, f"Not known:{reported or ' no answer'}.", "Ask again.")
    is_closed = isinstance(status, Denied)
    if isinstance(status, Refused):  # not the request Id, but the question
        is_closed = status.status == _NOT_FOUND or "unauthorized" in status.type.lower()
    if is_closed:
        words = f"The EntityAccess API refused the call (HTTP {status.status}):{reported}."
        return Finding("sharing", Level.PROBLEM, words, "Ask LeadSquared's support to switch sharing on.")
    if not isinstance(status, ShareStatus | Refused):
        words = f"The EntityAccess API did not answer as documented:{reported}."
        return Finding("sharing", Level.WARNING, words, "Ask again; then ask LeadSquared's support.")
    words = f"The EntityAccess API answers; for a request that never was, it says{reported or ' nothing'}."
    return Finding("sharing", Level.OK, f"{words} Only a first share tells whether sharing is switched on.")


def of_clock(skew: float | None) -> Finding:
    """How far this machine's clock is from LeadSquared's, in seconds; ahead is positive."""
    if skew is None:
        return Finding("clock", Level.WARNING, "Unknown: no answer gave LeadSquared's time.")
    far = abs(skew)
    if far <= SKEW_WARNING:
        return Finding("clock", Level.OK, "This machine's clock agrees with LeadSquared's.")
    length = f"{far:.0f} s" if far < 120 else f"{far / 60:.0f} min"
    words = f"This machine's clock is {length} {'ahead of' if skew > 0 else 'behind'} LeadSquared's."
    level = Level.PROBLEM if far > SKEW_PROBLEM else Level.WARNING
    return Finding(
        "clock", level, words, "Set the clock: lost calls are looked for, and shares with an end are timed, by it."
    )


def of_rate(rate: Rate | None, learned: Rate | None) -> Finding:
    """The rate that is set (None: auto) beside the limit that LeadSquared told."""
    if learned is None:
        kept = f"{rate} is used" if rate else "the default is used until it does"
        return Finding("rate", Level.OK, f"LeadSquared has not reported a limit on this machine yet; {kept}.")
    if rate is not None and rate.per_second > learned.per_second:
        words = f"The rate is set to {rate}, but LeadSquared reported a limit of {learned}."
        return Finding("rate", Level.WARNING, words, f"Set BATCH_SHARE_RATE={learned}, or auto.")
    return Finding("rate", Level.OK, f"LeadSquared reported a limit of {learned}; {rate or 'that'} is used.")


def of_day(calls: int, limit: int | None, *, in_store: bool = False) -> Finding:
    """The calls made today, from this machine or from all that use the store, beside the daily limit."""
    where = "from all that use the store" if in_store else "from this machine"
    if limit is None:
        return Finding("calls today", Level.OK, f"{calls:,} {where}; no daily limit is set.")
    words = f"{calls:,} {where}, of {limit:,} allowed."
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


async def check_keys(settings: Settings, waiter: Waiter, course: Course | None = None) -> None:
    """Raises AccessDenied for wrong keys, BatchShareError for those of nobody, or no administrator; as `read`."""
    async with open_connection(settings, waiter, course, "login") as connection:
        user = await ask_key_user(connection)
    if not isinstance(user, KeyUser):
        raise BatchShareError(
            f"LeadSquared does not say whose the keys are ({KEY_USER.path}: {user.words.rstrip('.')}). If the "
            "host is right, --no-check keeps them all the same.",
            problem=f"LeadSquared does not say whose the keys are ({user.words.rstrip('.')}).",
            hint="Check the host; if it is right, the keys can be kept unchecked.",
        )
    if user.role and user.role.strip().casefold() != ADMINISTRATOR:
        raise BatchShareError("The keys are not an administrator's, and LeadSquared lets nobody else share leads.")


NO_REQUEST: Final = "00000000-0000-0000-0000-000000000000"
"""A request Id that no share was ever given."""


class Passer:
    """The Waiter of a check-up: it waits for nobody."""

    def wait_turn(self, holder: Holder) -> None:
        """Raises BatchShareError: another process, of this machine or by a store, is calling the account."""
        whose = spell_holder(holder)
        raise BatchShareError(f"another batch_share{whose} is using the account: ask again when it has ended")


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


async def check_up(given: Settings | None = None, account: str | None = None) -> list[Finding]:
    """Every finding, in the order in which they are best fixed, of the settings in force unless some are given.

    Of those in force, by the name of an account, its own.

    Raises nothing foreseeable.
    """
    settings, host, asked = given, "", Replies()
    try:
        settings = given or load_settings(account=account)
        host, *_ = settings.credentials()
    except SettingsError as error:
        asked.why_not = f"{error.setting} is not set" if settings else "the settings can't be read"
        then = "Fix that first, and check again."
        found = [Finding("settings", Level.PROBLEM, sentence(str(error)), then)]
    else:
        asked = await ask(settings)
        places = origins(account) if given is None else {}
        named = dict.fromkeys(places.get(name, "the program") for name in ("host", "access_key", "secret_key"))
        of_account = f" of the account {settings.account}" if settings.account else ""
        found = [Finding("settings", Level.OK, f"Host and keys{of_account} are set, from: {', '.join(named)}.")]
    found += [
        of_keys(asked.user, host, asked.why_not, asked.sharing, asked.proxy),
        *of_user(asked.user, host),
        of_types(asked.types),
        of_sharing(asked.sharing),
        of_clock(asked.skew),
    ]
    if host:
        found.append(of_proxy(asked.proxy, asked.no_proxy))
    if settings is not None:
        known, folder = remembered(settings), settings.state_folder
        made = known.calls_on(dt.datetime.now(DAY_ZONE).date().isoformat())
        found += [
            of_rate(settings.rate, known.rate),
            of_day(made, settings.daily_limit, in_store=settings.store is not None),
        ]
        found.append(of_folder("state folder", str(folder), trouble_writing(folder)))
    here, env_file = Path.cwd(), of_env_file(None)
    if os.name == "posix" and (file := here / ".env").is_file():  # Windows tells of no other users in a mode
        stat = file.stat()
        env_file = of_env_file(stat.st_mode, is_foreign=stat.st_uid not in {os.geteuid(), 0})
    for key_file in settings.key_files if settings is not None and os.name == "posix" else ():
        with suppress(OSError):  # one that is missing: a nearer place sets the key itself
            if key_file.stat().st_mode & _READ_BY_OTHERS:
                words = f"Others on this machine may open {key_file}, which holds a key."
                found.append(Finding("key file", Level.WARNING, words, f"chmod 600 {shlex.quote(str(key_file))}"))
    versions = f"batch_share {__version__}, Python {platform.python_version()}, aiohttp {version('aiohttp')}"
    return [
        *found,
        of_folder("folder", str(here), trouble_writing(here)),
        of_space(shutil.disk_usage(here).free),
        env_file,
        Finding("versions", Level.OK, f"{versions}, SQLite {sqlite3.sqlite_version}."),
    ]


async def ask(settings: Settings, now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)) -> Replies:
    """Ask LeadSquared who the keys' user is, and then what it says of a request that never was."""
    asked = Replies()
    try:
        asked.proxy = proxy_for(settings.credentials()[0], settings.proxy)
    except SettingsError as error:
        asked.why_not = asked.no_proxy = str(error)
        return asked

    def read_user(answer: Answer) -> KeyUser | Failure:
        # Any answer tells the time, a refusal too.
        if (reported := read_date(answer.headers.get("date", ""))) is not None:
            asked.skew = (now() - reported).total_seconds()
        user = read_key_user(answer)
        if not isinstance(user, KeyUser):
            return user
        # Fit to be printed: on one line, and with no piece of a key.
        role, api_host = answer.redact(clean(user.role)), answer.redact(user.api_host)
        return replace(user, id=answer.redact(user.id), role=role, api_host=api_host)

    try:
        async with open_connection(settings, Passer(), None, "doctor", identify=False) as connection:
            asked.user = await ask_once(connection, KEY_USER, read_user)
            if isinstance(asked.user, KeyUser | Refused | Lost):
                asked.sharing = await ask_once(connection, share_status(NO_REQUEST), read_status)
                asked.types = await ask_once(connection, ACTIVITY_TYPES, read_activity_types)
    except BatchShareError as error:
        asked.why_not = str(error)
    told = [each for each in (asked.user, asked.sharing, asked.types) if each is not None]
    if len(told) > 1 and all(isinstance(each, FAILURES) and is_foreign(each) for each in told):
        # It is no LeadSquared, as far as can be told: what else it says is of something else, its time too.
        asked.sharing = asked.types = asked.skew = None
    return asked


def trouble_writing(folder: Path) -> str:
    """Why no file can be written in a folder, or made in the nearest one above it that is there; else nothing."""
    above = (folder.absolute(), *folder.absolute().parents)
    try:
        with tempfile.TemporaryFile(dir=next(each for each in above if each.exists())):
            return ""
    except OSError as error:
        return error.strerror or "it is refused"
