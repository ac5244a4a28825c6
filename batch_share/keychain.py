"""The keys in the system's keyring: one entry for each host, and a list of the hosts, the latest login last.

An account of the settings has an entry of its own, by its name and its host: its keys go to no other.

`keyring` is imported only when somebody asks: that takes a tenth of a second, and may wake a service or a prompt.
What its backends raise is never passed on: it may hold what was to be kept.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from batch_share.errors import BatchShareError

if TYPE_CHECKING:
    from pydantic import SecretStr

SERVICE: Final = "batch-share"
"""What the entries are found under, in the system's own keyring program too."""

INSTEAD: Final = (
    "Set BATCH_SHARE_HOST, BATCH_SHARE_ACCESS_KEY and BATCH_SHARE_SECRET_KEY in the environment, or in a file .env "
    "that only you can read (chmod 600 .env), which `batch-share login` offers to write at a terminal"
)
_HOSTS: Final = "hosts"
_TRIAL: Final = "trial"
_NAMES: Final = ("access_key", "secret_key")


class KeychainError(BatchShareError):
    """The system's keyring did not do what was asked. `reason` is why; nothing of a key is in it."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}. {INSTEAD}.",
            problem=f"{reason}.",
            hint="Set the keys where no keyring is needed: in the environment, or in a file of your own.",
        )
        self.reason = reason


def check() -> None:
    """Raises KeychainError unless it keeps what it is given, which no backend tells before it is tried."""
    _ask("set_password", _TRIAL, _TRIAL)
    if _ask("get_password", _TRIAL) != _TRIAL:
        raise KeychainError("The system's keyring accepts keys but does not store them")
    _ask("delete_password", _TRIAL)


def keep(host: str, access_key: SecretStr, secret_key: SecretStr, *, account: str | None = None) -> None:
    """Keep the keys of a host, and that it was the last; or those of an account by name. Raises KeychainError."""
    entry = _entry(host, account)
    kept = json.dumps(dict(zip(_NAMES, (key.get_secret_value() for key in (access_key, secret_key)), strict=True)))
    _ask("set_password", entry, kept)
    if _ask("get_password", entry) != kept:
        raise KeychainError("The system's keyring accepted the keys but did not store them")
    if account is None:
        _ask("set_password", _HOSTS, json.dumps([*(each for each in hosts() if each != host), host]))


def forget(host: str, account: str | None = None) -> bool:
    """Remove the keys of a host, or of an account by name; whether there were any. Raises KeychainError."""
    entry = _entry(host, account)
    had = _ask("get_password", entry) is not None
    if had:
        _ask("delete_password", entry)
    known = hosts() if account is None else []
    if host in known:
        _ask("set_password", _HOSTS, json.dumps([each for each in known if each != host]))
    return had


def hosts() -> list[str]:
    """The hosts whose keys are kept, the latest login last. Raises KeychainError."""
    found = _json(_ask("get_password", _HOSTS))
    return [host for host in found if isinstance(host, str)] if isinstance(found, list) else []


def find(host: str | None, account: str | None = None) -> dict[str, str]:
    """Host and keys by the names of their settings: of `host`, else of the last login. Nothing on any trouble.

    Of an account by name they are what was kept for it and its host.
    """
    try:
        named = host or next(reversed(hosts()), None)
        found = _json(_ask("get_password", _entry(named, account))) if named else None
    except KeychainError:
        return {}
    if named is None or not isinstance(found, dict):
        return {}
    keys = {name: found[name] for name in _NAMES if isinstance(found.get(name), str)}
    return {"host": named, **keys} if len(keys) == len(_NAMES) else {}


def trouble() -> str:
    """Why the keyring can't be asked; nothing if it can."""
    try:
        hosts()
    except KeychainError as error:
        return error.reason
    return ""


def _entry(host: str, account: str | None) -> str:
    return host if account is None else f"{account} {host}"  # no host has a blank in it


def _json(text: str | None) -> object:
    try:
        return json.loads(text or "null")
    except ValueError:
        return None


def _ask(what: str, *of: str) -> str | None:
    """What a function of `keyring` says of our service.

    Raises KeychainError with nothing of the error behind it: a backend may raise and quote anything.
    """
    try:
        import keyring  # noqa: PLC0415 - only now: see above

        return cast("str | None", getattr(keyring, what)(SERVICE, *of))
    except Exception as error:
        kind = type(error).__name__
    reason = f"The system's keyring can't be used ({kind})"
    if kind == "NoKeyringError":
        reason = "This machine has no keyring to store keys in"
    if kind in {"KeyringLocked", "InitError"}:
        reason = f"The system's keyring is locked, or can't be opened ({kind})"
    raise KeychainError(reason)
