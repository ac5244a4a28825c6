"""All settings in one place: keyring < the user's own file < file < .env < environment < flag.

A setting `rate` is `rate` in a TOML file, BATCH_SHARE_RATE in the environment or .env, and `--rate` on the
command line; the keys are never flags. The file is `batch-share.toml` in the current folder, or the one that
BATCH_SHARE_CONFIG names; the user's own is in their config folder. The keyring holds host and keys alone, as
`batch-share login` left them there. What is set but empty counts as not set; a flag that is empty is an error.

`.env` and `batch-share.toml` lie beside sheets, in folders that others may share. Whoever can write them could say
where keys go, and what is sent with them. So a file that others can write, or that is another's, is refused with
the line that fixes it, as soon as it sets anything; and a host for keys besides LeadSquared's own can't be allowed
there at all, nor a store be named, whose owner reads all leads and could say who gets them. Windows tells of other
users in no mode: there files count as they are.

Who has several accounts names them, `[accounts.NAME]`. One of them is in force: that of the setting `account`, else
the default. Host and keys are its own then, never one of them from elsewhere; what else it sets wins over all but
what is typed.
"""

from __future__ import annotations

import datetime as dt
import io
import ipaddress
import os
import re
import shlex
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import SplitResult, urlsplit, urlunsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import dotenv
import platformdirs
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PositiveInt,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from batch_share import keychain
from batch_share.common import Order, Rate, minutes_text, parse_duration, parse_seconds, seconds_text
from batch_share.errors import SettingsError, check_not_empty, first_of, is_blank

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from pydantic.fields import FieldInfo

STORES: Final = ("postgresql://", "postgres://")
"""How the URL of a store begins."""

_PASSWORDS: Final = {"password", "sslpassword"}

DEFAULT_FILE: Final = "batch-share.toml"
ENV_FILE: Final = ".env"

_MODES_TELL: Final = os.name == "posix"
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def user_file() -> Path:
    """The user's own settings file, wherever they work: it counts below those of the current folder."""
    return Path(platformdirs.user_config_dir("batch-share", appauthor=False), DEFAULT_FILE)


def _sources(settings_cls: type[BaseSettings], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the account in force, the environment and the files set, the one that wins first.

    Which account is in force may be `given`, and accounts too. Raises SettingsError; it quotes no value.
    """
    named = os.environ.get("BATCH_SHARE_CONFIG", "").strip()
    here, users = Path(named or DEFAULT_FILE), user_file()
    if named and not here.is_file():
        raise SettingsError(
            "BATCH_SHARE_CONFIG", f"there is no file {here}", problem="There is no such settings file."
        )
    text, fault = _read(Path(ENV_FILE))
    in_env_file = {name.lower(): value for name, value in dotenv.dotenv_values(stream=io.StringIO(text)).items()}
    env_file = _from_variables(settings_cls, in_env_file)
    _check_counts(ENV_FILE, env_file.keys(), fault, is_own=False)
    is_own = bool(named) or here.resolve() == users.resolve()
    found = {
        "environment": _from_variables(settings_cls, None),
        ENV_FILE: env_file,
        str(here): _from_toml(settings_cls, here, is_own=is_own),
        str(users): _from_toml(settings_cls, users, is_own=True),
    }
    profiles = _profiles((*reversed(found.values()), given))
    is_plain, name = _account_meant(found, profiles, given)
    if is_plain:  # an account that is named farther away is not the one whose keys these are
        return {
            place: {each: values[each] for each in values if each != "account"} for place, values in found.items()
        }
    others = {
        place: {each: values[each] for each in values if each not in {"host", *_KEYS}}
        for place, values in found.items()
    }
    if name is None:
        return others
    if name not in profiles:
        known = f"known are {first_of(sorted(profiles))}" if profiles else "there are none in the settings"
        raise SettingsError(
            "account",
            f"there is no account {name!r}: {known}",
            problem="There is no account of this name.",
            hint=f"{known[0].upper()}{known[1:]}.",
        )
    profile = profiles[name]
    if given.get("host") and profile.get("host") and _is_elsewhere(profile["host"], given["host"]):
        raise SettingsError(
            "host",
            f"is not that of the account {name!r}: its keys go to no other",
            problem="The host is not that of the account.",
            hint="Leave out the host, or the account.",
        )
    own = {each: value for each, value in profile.items() if each in settings_cls.model_fields}
    for key in _KEYS:
        if profile.get(f"{key}_file"):
            own[key] = _key_in(Path(str(profile[f"{key}_file"])).expanduser(), f"accounts.{name}.{key}_file")
    return {f"accounts.{name}": {"account": name, **own}, **others}


def _profiles(places: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the places, the nearest last, set of each account, by its name. Raises SettingsError."""
    profiles: dict[str, dict[str, Any]] = {}
    contested: set[str] = set()  # those of which two places name two hosts
    for values in places:
        accounts = values.get("accounts")
        for name, profile in accounts.items() if isinstance(accounts, dict) else ():
            if not _ACCOUNT_NAME.fullmatch(name):
                raise SettingsError(
                    "accounts",
                    f"{name!r} is no name for one: write small letters and digits, with single _ in between, "
                    "so that the environment can name it too",
                    problem="An account has a name that the environment can't hold.",
                )
            if isinstance(profile, dict):  # what is none is refused with all that is no setting's value
                before = profiles.get(name, {})
                if before.get("host") and profile.get("host") and _is_elsewhere(before["host"], profile["host"]):
                    # Its keys were meant for that host: whoever writes beside sheets may not send them to another.
                    contested.add(name)
                    before = {each: before[each] for each in before if each.removesuffix("_file") not in _KEYS}
                keys = _KEYS & {each.removesuffix("_file") for each in profile}
                if keys and name in contested and not profile.get("host"):
                    # Nor those of a third place, such as the environment, which are for one of the two.
                    raise SettingsError(
                        f"accounts.{name}.host",
                        "is another in another place, and its keys are set where none is: name the host there, too",
                        problem="An account has two hosts, and its keys do not say for which they are.",
                        hint="Set the host where its keys are set.",
                    )
                for key in keys:  # one place for each key
                    before = {each: before[each] for each in before if each not in {key, f"{key}_file"}}
                profiles[name] = before | profile
    return profiles


def _account_meant(
    found: Mapping[str, Mapping[str, Any]], profiles: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]
) -> tuple[bool, str | None]:
    """Whether host and keys are those that are set without an account; else which account's, None: nobody knows.

    What is nearer counts, as for all settings. Where the same place says both, or none of several accounts is the
    default, it is not guessed: who needs an account is told to name it.
    """
    if given.get("account") is not None:
        return False, str(given["account"])
    if any(given.get(name) is not None for name in ("host", *_KEYS)):
        return True, None
    for values in found.values():
        if "account" in values:
            return False, str(values["account"])
        sets_plainly, has_accounts = not {"host", *_KEYS}.isdisjoint(values), bool(values.get("accounts"))
        if sets_plainly and not has_accounts:
            return True, None
        if has_accounts:
            chosen = [name for name in profiles if str(profiles[name].get("default", "")).lower() in _TRUE]
            known = chosen if len(profiles) > 1 else [*profiles]
            return False, known[0] if len(known) == 1 and not sets_plainly else None
    return True, None


def _from_variables(settings_cls: type[BaseSettings], variables: dict[str, str | None] | None) -> dict[str, Any]:
    """What variables set, by their names in lower case; None: the environment's own."""
    source = EnvSettingsSource(settings_cls)
    env_vars = filled(source.env_vars if variables is None else variables)
    prefix = f"{settings_cls.model_config['env_prefix']}accounts__".lower()
    accounts: dict[str, dict[str, Any]] = {}
    for variable in [each for each in env_vars if each.startswith(prefix)]:
        # By hand: pydantic-settings would take a key that is all digits for a number.
        name, _, setting = variable.removeprefix(prefix).partition("__")
        accounts.setdefault(name, {})[setting] = env_vars.pop(variable)
    source.env_vars = env_vars
    return source() | ({"accounts": accounts} if accounts else {})


def _key_in(file: Path, setting: str) -> str:
    """The key that a file holds, as keepers of secrets leave one there. Raises SettingsError."""
    if not (file.is_file() or file.is_fifo()):
        raise SettingsError(setting, f"there is no file {file}", problem="There is no such file of a key.")
    text, fault = _read(file)
    if fault:
        raise SettingsError(str(file), f"it holds a key, but {fault}", problem="A key's file may not set one.")
    if is_blank(text):
        raise SettingsError(setting, f"the file {file} is empty", problem="The file of a key is empty.")
    return text


def filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values without what is set but empty: it may not hide what another source has, nor a default."""
    return {
        name: filled(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if not is_blank(value)
    }


def refuse_here(setting: str, place: str) -> None:
    """Raises SettingsError: nobody but the keys' owner says where they, or the leads, may go."""
    instead = f"set BATCH_SHARE_{setting.upper()} in the environment, or {setting} in {user_file()}"
    raise SettingsError(
        setting,
        f"does not count {place}: {instead}",
        problem=f"The setting {setting} does not count in a file that lies beside sheets.",
        hint="Set it in the environment, or in your own settings file.",
    )


def _from_toml(settings_cls: type[BaseSettings], file: Path, *, is_own: bool) -> dict[str, Any]:
    text, fault = _read(file)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:  # its message says where; it quotes no value, but names: is one a key?
        words = re.sub(r" ?\(?'.*'\)?", "", str(error), flags=re.DOTALL)
        raise SettingsError(
            str(file), f"is not valid TOML ({words})", problem=f"The settings file is not valid TOML ({words})."
        ) from None
    found = filled(values)
    _check_counts(str(file), found.keys() & settings_cls.model_fields.keys(), fault, is_own=is_own)
    unknown = sorted(values.keys() - settings_cls.model_fields.keys())
    if unknown:
        raise SettingsError(
            str(file),
            f"has no setting called {unknown[0]!r}",
            problem=f"The settings file names a setting that there is not: {unknown[0]!r}.",
        )
    return found


def _check_counts(file: str, names: AbstractSet[str], fault: str, *, is_own: bool) -> None:
    """Whether a file, which `is_own` if it lies beside no sheets, may set what it sets. Raises SettingsError."""
    if names and fault:
        raise SettingsError(
            file,
            f"it sets {first_of(sorted(names))}, but {fault}",
            problem=f"A settings file sets {first_of(sorted(names))}, and may not.",
        )
    for setting in () if is_own else sorted(_OWNERS & names):
        refuse_here(setting, f"in {file}, which lies beside sheets")


def _read(file: Path) -> tuple[str, str]:
    """A file's text, nothing if there is none, and why it may not set anything, nothing if it may.

    Judged is what was opened: a name could be given to another file meanwhile. Raises SettingsError.
    """
    try:
        mode = file.stat().st_mode
    except OSError:  # a home that may not be searched has none
        return "", ""
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):  # a pipe, too, as keepers of secrets make one
        return "", ""
    try:
        with file.open("rb") as opened:
            return opened.read().decode("utf-8-sig"), _fault(file, os.fstat(opened.fileno()))
    except UnicodeDecodeError:
        raise SettingsError(
            str(file), "is not UTF-8 text", problem="The settings file is not UTF-8 text."
        ) from None
    except OSError as error:
        raise SettingsError(
            str(file),
            f"can't be read ({error.strerror})",
            problem=f"The settings file can't be read ({error.strerror}).",
        ) from None


def _fault(file: Path, opened: os.stat_result) -> str:
    """Why it may hold what another person wrote, and the line that fixes it; nothing if it is its user's alone."""
    if not _MODES_TELL:
        return ""
    ours = {os.geteuid(), 0}
    chown = "chown" if os.geteuid() == 0 else "sudo chown"
    fixes, link = [], file
    while link.is_symlink():  # whoever owns one says which file is read
        if link.lstat().st_uid not in ours:
            fixes.append(f"{chown} -h $(id -un) {shlex.quote(str(link))}")
        link = link.parent / link.readlink()
    fixes += [f"{chown} $(id -un) {shlex.quote(str(file))}"] if opened.st_uid not in ours else []
    why = "it is another user's" if fixes else "others can write it"
    fixes += [f"chmod go-w {shlex.quote(str(file))}"] if opened.st_mode & _OTHERS_WRITE else []
    return f"{why}: check what it says, then `{' && '.join(fixes)}`" if fixes else ""


DEFAULT_RATE: Final = Rate(25, 5.0)
"""What the pages of the sharing API say: https://apidocs.leadsquared.com/share-a-lead/"""

DEFAULT_BULK_RATE: Final = Rate(1, 5.0)
"""What every plan has at least: https://apidocs.leadsquared.com/rate-limits/"""

SHORTEST_GRACE: Final = 5.0
"""Seconds of grace below which reads that lag behind writes make doubles: no page says how long they may, and less
than one period of calls is hardly a wait."""

PRIVATE: Final = {
    "allow_host",
    "access_key",
    "secret_key",
    "accounts",
    "notify",
    "proxy",
    "store",
    "state_folder",
    "data_folder",
    "log_folder",
    "log_level",
    "wire_log",
}
"""Settings that are secret, or of this machine alone: no ledger holds them."""

LEADSQUARED: Final = "leadsquared.com"
"""The domain that keys go to, or below which: nobody but LeadSquared has a host there."""

AUTO: Final = "auto"
"""As a rate: what the account's last run has learnt."""


_KEYS: Final = frozenset({"access_key", "secret_key"})
_OWNERS: Final = frozenset({"allow_host", "store"})  # of which a file beside sheets says nothing
_ACCOUNT_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_TRUE: Final = {"true", "1", "yes", "on"}

_NETLOC: Final = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d+)?")
_KEY: Final = re.compile(r"[!-~]*")


def parse_host(text: object) -> str:
    """A host as a base URL: https://, or http:// on this machine only. Raises ValueError; it quotes no value."""
    given = text.strip() if isinstance(text, str) else ""
    parts = split_url(given if "://" in given else f"https://{given}")
    # Nothing but a host and a port: whatever else it is may hold a key.
    is_host = parts is not None and _NETLOC.fullmatch(parts.netloc.lower())
    if parts is None or not is_host or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(
            "write only the host, such as https://api-in21.leadsquared.com; keys have settings of their own"
        )
    if parts.path.rstrip("/").lower() not in {"", "/v2"}:
        raise ValueError("write the host without a path, such as https://api-in21.leadsquared.com")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise ValueError("use https:// (plain http is only for a sandbox on this machine)")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _is_elsewhere(host: object, other: object) -> bool:
    """Whether they are two hosts; what is no host at all is another, and refused by whoever needs it."""
    try:
        return parse_host(host) != parse_host(other)
    except ValueError:
        return host != other


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _rate(value: object) -> Rate | None:
    """A rate; `auto` is None."""
    if value is None or isinstance(value, Rate):
        return value
    return None if str(value).strip().casefold() == AUTO else Rate.parse(str(value))


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return parse_seconds(str(value))


def _minutes(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return 0 if str(value).strip() == "0" else parse_duration(str(value))


def _key(value: object) -> object:
    """A key that a header can carry. A value that is no text is left to pydantic, which refuses it unquoted."""
    if not isinstance(value, str):
        return value
    if not _KEY.fullmatch(value.strip()):
        raise ValueError("holds a character that no key has; copy it again")
    return value.strip()


def parse_notify(value: object) -> object:
    """Who is told how a run ended: a webhook's URL or a file. Raises ValueError; it quotes no value.

    A webhook's URL is a secret: whoever has it may post there.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if "://" not in text:
        if not text.removeprefix("file:") or "\0" in text:
            raise ValueError("write the URL of a webhook (https://…) or the name of a file")
        return text
    parts = split_url(text)
    if parts is None or not parts.hostname:
        raise ValueError("is not the URL of a webhook, such as https://hooks.example.com/…")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise ValueError("use https:// for a webhook (plain http is only for one on this machine)")
    return text


def parse_proxy(value: object) -> object:
    """A proxy's URL, None for `none`. Raises ValueError; it quotes no value, which may hold a password."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in {"", "none"}:
        return None
    text = text if "://" in text else f"http://{text}"
    parts = split_url(text)
    if parts is None or not parts.hostname or parts.path.rstrip("/") or parts.query or parts.fragment:
        raise ValueError(
            "is not the URL of a proxy, such as http://proxy.example.com:3128 (in user and password, write special "
            "characters as %40 and the like)"
        )
    if parts.scheme not in {"http", "https"}:
        raise ValueError("only http:// and https:// proxies can be used")
    return text.rstrip("/")


def parse_store(value: object) -> object:
    """A store's URL, None for `none`. Raises ValueError; it quotes no value, which may hold a password."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in {"", "none"}:
        return None
    parts = split_url(text)
    if parts is None or f"{parts.scheme}://" not in STORES or parts.fragment or not parts.path.strip("/"):
        raise ValueError("is no URL like postgresql://user@host/database")
    return text


def split_url(text: str) -> SplitResult | None:
    """The parts of an address; None if it is none, or has blanks or unseen characters in it."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises when out of range
    except ValueError:
        return None
    return parts if text.isprintable() and " " not in text else None


def without_user(url: str) -> str:
    """The URL of a proxy as it may be shown."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def without_password(url: str) -> str:
    """The URL of a store as it may be shown, and be called."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    query = "&".join(each for each in parts.query.split("&") if each.partition("=")[0] not in _PASSWORDS)
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}{at}{host}", query=query))


# NoDecode: in the environment a rate is text, not JSON; and so is whatever BATCH_SHARE_SHEET may hold.
RateSetting = Annotated[
    Rate | None, NoDecode, BeforeValidator(_rate), PlainSerializer(lambda rate: str(rate or AUTO))
]
_Time = Annotated[float, BeforeValidator(_seconds), PlainSerializer(seconds_text)]
Seconds = Annotated[_Time, Field(ge=0, allow_inf_nan=False)]
# A timeout of nothing would mean none.
Timeout = Annotated[_Time, Field(gt=0, allow_inf_nan=False)]


def _percent(value: object) -> object:
    return value.strip().removesuffix("%").rstrip() if isinstance(value, str) else value


Renewal = Annotated[
    int,
    BeforeValidator(_minutes),
    PlainSerializer(lambda minutes: minutes_text(minutes) if minutes else 0),  # nothing at all is no duration
    Field(ge=0),
]
Percent = Annotated[
    float,
    BeforeValidator(_percent),
    PlainSerializer(lambda percent: f"{percent:.12g}%"),
    Field(gt=0, le=100, allow_inf_nan=False),
]
Key = Annotated[SecretStr, BeforeValidator(_key)]
Notify = Annotated[SecretStr, BeforeValidator(parse_notify)]
ProxyUrl = Annotated[
    SecretStr | None,
    BeforeValidator(parse_proxy),
    PlainSerializer(lambda url: without_user(url.get_secret_value()), when_used="json-unless-none"),
]
StoreUrl = Annotated[
    SecretStr | None,
    BeforeValidator(parse_store),
    PlainSerializer(lambda url: without_password(url.get_secret_value()), when_used="json-unless-none"),
]
# In TOML, 201 and 90 are written as the numbers they are.
Text = Annotated[str, Field(coerce_numbers_to_str=True)]
Host = Annotated[str, BeforeValidator(parse_host)]
ShareBatch = Annotated[int, Field(ge=1, le=25)]
MarkerField = Annotated[str, Field(pattern=r"^(mx_Custom_[1-9][0-9]?)?$")]
# And there a date may stand as it is, too.
Date = Annotated[Text, BeforeValidator(lambda value: str(value) if isinstance(value, dt.date) else value)]


class SheetLimits(BaseModel):
    """The largest sheet that is read: sizes in megabytes, the others counted.

    Parsing a workbook may take `memory_mb` (for a million rows of 15 columns it takes 1,700) and `seconds`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Excel's own limits where it has any; else far above every honest sheet, and below what takes a machine down.
    file_mb: PositiveInt = 200
    unpacked_mb: PositiveInt = 1000
    ratio: PositiveInt = 200  # a bomb's is a thousand, the most that deflate can do
    entries: PositiveInt = 5000
    rows: PositiveInt = 1_048_576
    columns: PositiveInt = 1000  # Excel's 16,384 in every row would be more than the memory
    cell_characters: PositiveInt = 32_767
    memory_mb: PositiveInt = 2000
    seconds: PositiveInt = 120


class Profile(BaseModel):
    """An account by a name: its host, its keys or the files that hold them, and what of the settings is its own.

    Keys that are neither here nor in files are those that `login --account` left in the keyring. What is None is
    not set; of the rates None may also be `auto`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    host: Host | None = None
    access_key: Key | None = None
    secret_key: Key | None = None
    access_key_file: Path | None = None
    secret_key_file: Path | None = None
    default: bool = False
    event: Text | None = None
    timezone: str | None = None
    rate: RateSetting = None
    bulk_rate: RateSetting = None
    share_batch: ShareBatch | None = None
    marker_field: MarkerField | None = None
    daily_limit: PositiveInt | None = None


ENOUGH: Final = 50
"""Rows that must be sent before a percentage of them, as `stop_at` is, says anything: of these one is 2 %."""


class Settings(BaseSettings):
    """Everything that can be set; `cli.options` says what each is for.

    Durations of waits are in seconds; text such as `10m` is understood.
    """

    model_config = SettingsConfigDict(
        env_prefix="BATCH_SHARE_",
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )

    # Before the host, which is judged by it.
    allow_host: Host | None = Field(None, examples=["https://leadsquared.example.com"])
    host: Host | None = Field(None, examples=["https://api-in21.leadsquared.com"])
    access_key: Key | None = None
    secret_key: Key | None = None
    account: Text | None = Field(None, examples=["europe"])
    accounts: Annotated[dict[str, Profile] | None, NoDecode] = Field(
        None, examples=[{"europe": {"host": "https://api-ir31.leadsquared.com", "default": True}}]
    )
    event: Text = ""
    access: Text = ""
    duration: Text = ""
    until: Date = Field("", examples=["2026-12-31"])
    note: str = ""
    header_row: PositiveInt | None = Field(None, examples=[3])
    encoding: str = ""
    mapping: Path | None = Field(None, examples=["mapping.toml"])
    dates: Order | None = Field(None, examples=["dmy"])
    timezone: str = ""
    rate: RateSetting = DEFAULT_RATE
    bulk: bool = False
    bulk_rate: RateSetting = DEFAULT_BULK_RATE
    share_batch: ShareBatch | None = Field(None, examples=[10])
    workers: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, examples=[6])
    wait: Seconds = 600.0  # as long as people sit before a screen: what is left, the next follow-up asks for
    follow_up: bool = True
    trust_owner: bool = False
    trust_ids: bool = False
    trust_marker: bool = False
    on_unknown: Literal["settle", "park"] = "settle"
    grace: Seconds = 60.0  # no page says how long, and only unknown rows wait for it
    answer_timeout: Timeout = 60.0  # what takes longer is as good as lost
    keep_answers: Renewal = 1440  # a day: who left yesterday is looked up today
    marker_field: MarkerField = ""
    allow_duplicates: bool = False
    renew: Renewal = 0
    force: bool = False
    recover: bool = False
    one_line: bool = False
    daily_limit: PositiveInt | None = Field(None, examples=[100_000])
    max_rows: PositiveInt | None = Field(None, examples=[500])
    max_per_user: PositiveInt | None = Field(None, examples=[50])
    max_revokes: Annotated[int, Field(ge=0)] = 0  # nobody loses access unless somebody says so
    canary: PositiveInt | None = Field(None, examples=[5])
    stop_after_failures: Annotated[int, Field(ge=0)] = 10  # no coincidence any more, and few to send again
    stop_at: Percent | None = Field(None, examples=["5%"])
    two_people: bool = False
    notify: Notify | None = Field(None, examples=["told.jsonl"])
    proxy: ProxyUrl = Field(None, examples=["http://proxy.example.com:3128"])
    store: StoreUrl = Field(
        None, validate_default=False, examples=["postgresql://batch_share@db.example.com/leads"]
    )
    sheet: Annotated[SheetLimits, NoDecode] = SheetLimits()
    state_folder: Path = Field(Path(platformdirs.user_state_dir("batch-share", appauthor=False)))
    data_folder: Path = Field(Path(platformdirs.user_data_dir("batch-share", appauthor=False)))
    log_folder: Path = Field(Path(platformdirs.user_log_dir("batch-share", appauthor=False)))
    log_level: Literal["debug", "info"] = "info"
    audit_pages: Annotated[int, Field(ge=0)] = 100
    wire_log: Path | None = Field(None, examples=["trouble.jsonl"])

    _given: frozenset[str] = PrivateAttr(frozenset())

    @field_validator("host")
    @classmethod
    def _where_keys_may_go(cls, host: str | None, others: ValidationInfo) -> str | None:
        name = urlsplit(host or "").hostname or ""
        if (
            host in {None, others.data.get("allow_host")}
            or _is_loopback(name)
            or f".{name}".endswith(f".{LEADSQUARED}")
        ):
            return host
        raise ValueError(
            f"keys go to no host but {LEADSQUARED}'s and this machine; if this one is right, set "
            "BATCH_SHARE_ALLOW_HOST to it in your environment"
        )

    @field_validator("grace")
    @classmethod
    def _long_enough(cls, grace: float, others: ValidationInfo) -> float:
        host = others.data.get("host")
        if grace < SHORTEST_GRACE and host and not _is_loopback(urlsplit(host).hostname or ""):
            raise ValueError(
                f"at least {SHORTEST_GRACE:g}s, but for a sandbox on this machine: what reads do not show yet "
                "would be posted twice"
            )
        return grace

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic-settings'
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags win over the account in force, that over the environment, .env, the files, and the keyring."""
        given = init_settings()
        for name, value in given.items():
            check_not_empty(name, value)
        if given.get("allow_host") is not None:
            refuse_here("allow_host", "as an option or argument")
        found = _sources(settings_cls, given).values()
        return (
            init_settings,
            *(InitSettingsSource(settings_cls, values) for values in found),
            _KeyringSource(settings_cls),
        )

    def public(self) -> dict[str, Any]:
        """The settings as plain values, without keys, a webhook's URL, and what belongs to this machine."""
        return self.model_dump(mode="json", exclude=PRIVATE)

    @property
    def calls_when_closed(self) -> bool:
        """Whether an account is called before the time that LeadSquared has told: a rate was given, or force."""
        return self.force or "rate" in self._given

    @property
    def key_files(self) -> list[Path]:
        """The files that the keys of the account in force were read from, if they were."""
        profile = (self.accounts or {}).get(self.account or "")
        files = (profile.access_key_file, profile.secret_key_file) if profile is not None else ()
        return [file.expanduser() for file in files if file is not None]

    def credentials(self) -> tuple[str, SecretStr, SecretStr]:
        """Host and keys of the account in force. Raises SettingsError naming the first that is missing."""
        names = ("host", "access_key", "secret_key")
        if self.accounts and self.account is None and not any(getattr(self, name) for name in names):
            known, default = sorted(self.accounts), [name for name, each in self.accounts.items() if each.default]
            are = f"{len(default)} of them are" if default else "none of them is"
            why = f"there are {first_of(known)}, and {are} the default"
            if len(default) == 1 or len(known) == 1:
                why = f"host or keys are set beside the accounts, which are {first_of(known)}"
            raise SettingsError(
                "account",
                f"{why}: name one with --account",
                problem="It is not clear which account is meant.",
                hint=f"Name one of {first_of(known)}.",
            )
        for name in names:
            if not getattr(self, name):
                why = keychain.trouble()  # if it has them, why the keyring could not tell
                of_account = f"accounts.{self.account}." if self.account else ""
                login = f"batch-share login --account {self.account}" if self.account else "batch-share login"
                stores = "the keys" if self.account else "host and keys"
                or_else = f" ({why[0].lower()}{why[1:]})" if why else f", or let `{login}` store {stores}"
                variable = f"BATCH_SHARE_{of_account.replace('.', '__').upper()}{name.upper()}"
                raise SettingsError(
                    f"{of_account}{name}",
                    f"is not set. Set {variable} in the environment, in .env or in {DEFAULT_FILE}{or_else}",
                    problem=f"The setting {of_account}{name} is not set.",
                    hint="Set host, access key and secret key of the LeadSquared account.",
                )
        assert self.host is not None  # noqa: S101 - for the type checker; the loop has looked
        assert self.access_key is not None  # noqa: S101
        assert self.secret_key is not None  # noqa: S101
        return self.host, self.access_key, self.secret_key


def load_settings(**flags: object) -> Settings:
    """The settings in force; `flags` that are None were not given. Raises SettingsError, never quoting a value."""
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        words = fault["msg"].removeprefix("Value error, ").partition(", unable to")[0]
        for pydantics, ours in _WORDS.items():
            words = words.replace(pydantics, ours)
        refused = SettingsError(".".join(map(str, fault["loc"])) or "settings", words)
    except SettingsError as error:
        refused = SettingsError(error.setting, error.wrong, problem=error.problem, hint=error.hint)
    else:
        given = frozenset(name for name, value in flags.items() if value is not None)
        settings._given = given  # noqa: SLF001 - no source of settings has it
        return settings
    # Only now: raised in there, it would carry the other as its context, and so everything read, keys and all.
    raise refused


_WORDS: Final = {
    "Input should": "should",
    "a valid integer": "a whole number",
    "a valid boolean": "true or false",
}
"""How people say what pydantic says."""


def store_in_force() -> SecretStr | None:
    """The store that is set, without whatever else is: to look at a ledger takes no keys. Raises SettingsError."""
    try:
        url = parse_store(_store_said())
    except ValueError as error:
        wrong = str(error)
    else:
        return SecretStr(url) if isinstance(url, str) else None
    raise SettingsError("store", wrong)  # with nothing in sight that holds the URL


def _store_said() -> object:
    named, found = os.environ.get("BATCH_SHARE_CONFIG", "").strip(), _from_variables(Settings, None)
    for file in [Path(named), user_file()] if named else [user_file()]:
        found = _from_toml(Settings, file, is_own=True) | found
    return found.get("store")


def origins(account: str | None = None) -> dict[str, str]:
    """Where each setting that is not left at its default comes from; those of a table as `sheet.rows`.

    For settings that `load_settings` accepts, with this account. Raises SettingsError as it does.
    """
    found: dict[str, str] = {}
    known: dict[str, Any] = {}
    sources = _sources(Settings, {"account": account})

    def leaves(name: str, value: object) -> list[str]:
        if not isinstance(value, dict):
            return [name]
        return [leaf for part, each in value.items() for leaf in leaves(f"{name}.{part}", each)]

    for place in (*sources, "keyring"):
        values = sources[place] if place in sources else _kept(known)
        known = values | known
        known_here = {name: value for name, value in values.items() if name in Settings.model_fields}
        of_place = [leaf for name, value in known_here.items() for leaf in leaves(name, value)]
        found = dict.fromkeys(of_place, place) | found
    return found


class _KeyringSource(PydanticBaseSettingsSource):
    """Host and keys from the system's keyring, where no other source has a key: a pair stays together."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Nothing by itself: all come together."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """What the keyring has for the host that is set, or for the last login."""
        return _kept(self.current_state)


def _kept(known: dict[str, Any]) -> dict[str, Any]:
    """What the keyring adds to what other sources know."""
    if "access_key" in known or "secret_key" in known:
        return {}
    try:
        host = parse_host(known["host"]) if known.get("host") is not None else None
    except ValueError:  # whoever checks the settings says so
        return {}
    if host is None and known.get("accounts"):  # the last login was of none of them
        return {}
    return keychain.find(host, known.get("account"))


PROXY_VARIABLE: Final = "HTTPS_PROXY"


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxy that calls go through, and the setting or variable that names it; its password is a secret.

    LeadSquared's keys go through it only inside TLS, so it has to pass on CONNECT; to a host without TLS no call is
    sent through one. As text it is without user and password.
    """

    url: SecretStr = field(repr=False)
    origin: str

    def __str__(self) -> str:
        return without_user(self.url.get_secret_value())


def proxy_for(host: str, setting: SecretStr | None) -> Proxy | None:
    """The proxy for calls to the base URL `host`; None: they go there straight. Raises SettingsError.

    A host on this machine without TLS is never called through the environment's.
    """
    target = urlsplit(host)
    if setting is not None:
        if target.scheme != "https":
            raise SettingsError(
                "proxy",
                "keys go through a proxy only inside TLS, and the host is plain http: take the proxy away (`none`) "
                "for a host on this machine",
                problem="Keys go through a proxy only inside TLS, and the host is plain http.",
                hint="Take the proxy away for a host on this machine.",
            )
        return Proxy(setting, "the setting proxy")
    found = getproxies_environment()
    if target.scheme != "https" or "https" not in found:
        return None
    if proxy_bypass_environment(f"{target.hostname}:{target.port or 443}", found):
        return None
    try:
        url = parse_proxy(found["https"])
    except ValueError as error:
        problem = SettingsError(PROXY_VARIABLE, str(error))
    else:
        return Proxy(SecretStr(url), PROXY_VARIABLE) if isinstance(url, str) else None
    raise problem
