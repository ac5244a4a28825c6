"""The proxy that calls go through: that of the setting, else that of the environment. Its password is a secret.

LeadSquared's keys go through it only inside TLS, so it has to pass on CONNECT; to a host without TLS no call is
sent through one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from pydantic import SecretStr

from batch_share.errors import SettingsError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

ENVIRONMENT = "HTTPS_PROXY"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the setting or variable that names it. As text it is without user and password."""

    url: SecretStr = field(repr=False)
    origin: str

    def __str__(self) -> str:
        return without_user(self.url.get_secret_value())


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
        problem = SettingsError(ENVIRONMENT, str(error))
    else:
        return Proxy(SecretStr(url), ENVIRONMENT) if isinstance(url, str) else None
    raise problem
