"""All settings in one place: file < .env < environment < flag.

A setting `rate` is `rate` in the TOML file, BATCH_SHARE_RATE in the environment or .env, and `--rate` on the
command line; the keys are never flags. The file is `batch-share.toml` in the current folder, or the one that
BATCH_SHARE_CONFIG names.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

import platformdirs
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PositiveInt,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from batch_share.errors import SettingsError
from batch_share.units import Rate, parse_seconds

DEFAULT_FILE: Final = "batch-share.toml"
DEFAULT_RATE: Final = Rate(25, 5.0)
"""What the pages of the sharing API say: https://apidocs.leadsquared.com/share-a-lead/"""

DEFAULT_BULK_RATE: Final = Rate(1, 5.0)
"""What every plan has at least: https://apidocs.leadsquared.com/rate-limits/"""

SHORTEST_GRACE: Final = 5.0
"""Seconds of grace below which reads that lag behind writes make doubles."""

AUTO: Final = "auto"
"""As a rate: what the account's last run has learnt."""


_NETLOC: Final = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d+)?")
_KEY: Final = re.compile(r"[!-~]*")


def parse_host(text: object) -> str:
    """A host as a base URL: https://, or http:// on this machine only. Raises ValueError; it quotes no value."""
    parts = _split(text)
    if parts is None or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(
            "write only the host, such as https://api-in21.leadsquared.com; keys have settings of their own"
        )
    if parts.path.rstrip("/").lower() not in {"", "/v2"}:
        raise ValueError("write the host without a path, such as https://api-in21.leadsquared.com")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise ValueError("use https:// (plain http is only for a sandbox on this machine)")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _split(text: object) -> SplitResult | None:
    """The parts of a URL of nothing but a host and a port, None if it is none: it may hold a key."""
    given = text.strip() if isinstance(text, str) else ""
    try:
        parts = urlsplit(given if "://" in given else f"https://{given}")
        _ = parts.port  # raises when out of range
    except ValueError:
        return None
    return parts if _NETLOC.fullmatch(parts.netloc.lower()) else None


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


def _rate_text(rate: Rate | None) -> str:
    return str(rate or AUTO)


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return parse_seconds(str(value))


def _key(value: object) -> object:
    """A key that a header can carry. A value that is no text is left to pydantic, which refuses it unquoted."""
    if not isinstance(value, str):
        return value
    if not _KEY.fullmatch(value.strip()):
        raise ValueError("holds a character that no key has; copy it again")
    return value.strip()


# NoDecode: in the environment a rate is text, not JSON; and so is whatever BATCH_SHARE_SHEET may hold.
RateSetting = Annotated[Rate | None, NoDecode, BeforeValidator(_rate), PlainSerializer(_rate_text)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, allow_inf_nan=False)]
# A timeout of nothing would mean none.
Timeout = Annotated[float, BeforeValidator(_seconds), Field(gt=0, allow_inf_nan=False)]
Key = Annotated[SecretStr, BeforeValidator(_key)]
# In TOML, 201 and 90 are written as the numbers they are.
Text = Annotated[str, Field(coerce_numbers_to_str=True)]


PRIVATE: Final = {"access_key", "secret_key", "state_folder", "log_folder", "log_level"}
"""The settings that are keys, or of this machine alone."""


class SheetLimits(BaseModel):
    """The largest sheet that is read: sizes in megabytes, the others counted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file_mb: PositiveInt = 200
    unpacked_mb: PositiveInt = 1000
    ratio: PositiveInt = 200
    entries: PositiveInt = 5000
    rows: PositiveInt = 1_048_576
    columns: PositiveInt = 1000
    cell_characters: PositiveInt = 32_767


class Settings(BaseSettings):
    """Everything that can be set. Durations of waits are in seconds; text such as `10m` is understood."""

    model_config = SettingsConfigDict(
        env_prefix="BATCH_SHARE_",
        env_nested_delimiter="__",
        env_file=".env",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )

    host: Annotated[str, BeforeValidator(parse_host)] | None = None
    access_key: Key | None = None
    secret_key: Key | None = None
    event: Text = ""
    access: Text = ""
    duration: Text = ""
    note: str = ""
    rate: RateSetting = DEFAULT_RATE
    bulk: bool = False
    bulk_rate: RateSetting = DEFAULT_BULK_RATE
    share_batch: Annotated[int, Field(ge=1, le=25)] | None = None
    workers: Annotated[int, Field(ge=1, le=1000)] | None = None
    wait: Seconds = 600.0
    follow_up: bool = True
    trust_owner: bool = False
    trust_marker: bool = False
    on_unknown: Literal["settle", "park"] = "settle"
    grace: Seconds = 60.0
    answer_timeout: Timeout = 60.0
    marker_field: Annotated[str, Field(pattern=r"^(mx_Custom_[1-9][0-9]?)?$")] = ""
    allow_duplicates: bool = False
    timezone: str = ""
    daily_limit: PositiveInt | None = None
    sheet: Annotated[SheetLimits, NoDecode] = SheetLimits()
    state_folder: Path = Path(platformdirs.user_state_dir("batch-share", appauthor=False))
    log_folder: Path = Path(platformdirs.user_log_dir("batch-share", appauthor=False))
    log_level: Literal["debug", "info"] = "info"

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
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic-settings'
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags win over the environment, the environment over .env, .env over the file."""
        return init_settings, env_settings, dotenv_settings, _file_source(settings_cls)

    def public(self) -> dict[str, Any]:
        """The settings as plain values, without the keys and without what belongs to this machine."""
        return self.model_dump(mode="json", exclude=PRIVATE)

    def account(self) -> tuple[str, SecretStr, SecretStr]:
        """Host and keys. Raises SettingsError naming the first that is missing."""
        for name in ("host", "access_key", "secret_key"):
            if not getattr(self, name):
                raise SettingsError(
                    name,
                    f"is not set. Set BATCH_SHARE_{name.upper()} in the environment, in .env or in {DEFAULT_FILE}",
                )
        assert self.host is not None  # noqa: S101 - for the type checker; the loop has looked
        assert self.access_key is not None  # noqa: S101
        assert self.secret_key is not None  # noqa: S101
        return self.host, self.access_key, self.secret_key


def load_settings(**flags: object) -> Settings:
    """The settings in force; `flags` that are None were not given. Raises SettingsError, never quoting a value."""
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})  # type: ignore[arg-type]
    except (ValidationError, UnicodeDecodeError, OSError) as error:
        refused = _refusal(error)
    # Only now: raised in there, it would carry the other as its context, and so everything read, keys and all.
    raise refused


def _refusal(error: ValidationError | UnicodeDecodeError | OSError) -> SettingsError:
    if isinstance(error, UnicodeDecodeError):
        return SettingsError(".env", "is not UTF-8 text")
    if isinstance(error, OSError):
        return SettingsError("settings file", f"can't be read ({error.strerror})")
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name = ".".join(map(str, fault["loc"])) or "settings"
    return SettingsError(name, fault["msg"].removeprefix("Value error, "))


def _file_source(settings_cls: type[BaseSettings]) -> TomlConfigSettingsSource:
    named = os.environ.get("BATCH_SHARE_CONFIG")
    file = Path(named or DEFAULT_FILE)
    if named and not file.is_file():
        raise SettingsError("BATCH_SHARE_CONFIG", f"there is no file {file}")
    source = _read_toml(settings_cls, file)
    unknown = sorted(set(source.toml_data) - set(settings_cls.model_fields))
    if unknown:
        raise SettingsError(str(file), f"has no setting called {unknown[0]!r}")
    return source


def _read_toml(settings_cls: type[BaseSettings], file: Path) -> TomlConfigSettingsSource:
    try:
        return TomlConfigSettingsSource(settings_cls, file)
    except ValueError as error:  # tomllib's message says where; it quotes no value, but names, and what is a name?
        words = re.sub(r" ?\(?'.*'\)?", "", str(error), flags=re.DOTALL)
        refused = SettingsError(str(file), f"is not valid TOML ({words})")
    raise refused
