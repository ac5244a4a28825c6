"""Who may come in, and what every answer says to the browser so that nothing else gets in with them.

A link with a token, good once, leads to a cookie. Behind a proxy, which lets people in by itself, every caller gets
the cookie: whoever can reach the port without the proxy must be trusted as the proxy is.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from batch_share.errors import SettingsError, spelled
from batch_share.outputs import write_private

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web

LINK_SECONDS: Final = 600
"""How long a link can be followed: time to find the browser, and not to find the link in somebody's history."""

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # no-referrer would make browsers send `Origin: null` with our own forms
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Refused(Exception):
    """A request that is not let in: the HTTP status, and a sentence."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


def new_link(folder: Path) -> str:
    """A token that lets one browser in at the server of this folder. Raises OSError."""
    token = secrets.token_urlsafe(32)
    links = folder / ".links"
    links.mkdir(mode=0o700, exist_ok=True)
    for old in links.iterdir():
        if time.time() - old.stat().st_mtime > LINK_SECONDS:
            old.unlink(missing_ok=True)
    write_private(links / _digest(token), str(time.time() + LINK_SECONDS))
    return token


def origin_of(given: str) -> str:
    """The origin of a proxy as browsers write it. Raises SettingsError."""
    parts = urlsplit(given.strip().rstrip("/").lower())
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query or "@" in given:
        raise SettingsError(
            "--behind-proxy",
            "write the address that people open, as in https://share.example.com",
            problem="The proxy's address is not one that a browser opens.",
        )
    usual = ":443" if parts.scheme == "https" else ":80"  # which browsers leave out
    return f"{parts.scheme}://{parts.netloc.removesuffix(usual)}"


class Door:
    """Lets requests in to the server of a `folder`; `port` is set once it listens.

    With an `origin` a proxy stands before it, which names its users in the header `user_header`, if in any.
    """

    def __init__(self, folder: Path, origin: str | None = None, user_header: str | None = None) -> None:
        self.port = 0
        self._folder, self._origin, self._user_header = folder, origin, user_header
        # Browsers share the cookies of a host among all its ports, so another folder's server has another name; one
        # that is started again has its own, or the browser would send along one more cookie each time.
        self._cookie = f"batch_share_{_digest(str(folder.resolve()))[:16]}"
        self._key = secrets.token_bytes(32)

    @property
    def lets_in_by_link(self) -> bool:
        """Whether people need a link, for no proxy logs them in."""
        return self._origin is None

    def check(self, request: web.Request) -> None:
        """Whether it comes from our own pages, by its headers. Raises Refused."""
        hosts = {f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        hosts |= {urlsplit(self._origin).netloc} if self._origin else set()
        if request.headers.getall("Host", []) != [request.host] or request.host.lower() not in hosts:
            raise Refused(421, "This address does not lead here: open the one that the program printed.")
        if request.method not in {"GET", "POST"}:
            raise Refused(405, "That can't be done here.")
        if request.method == "POST":
            origin = request.headers.get("Origin")
            own = {self._origin} if self._origin else {f"http://{request.host.lower()}"}
            site = request.headers.get("Sec-Fetch-Site")
            if origin not in own if origin is not None else site != "same-origin":
                raise Refused(403, "This came from another page, so nothing was done.")

    def session(self, request: web.Request) -> str:
        """The session of a request, "" if it has none."""
        session = request.cookies.get(self._cookie, "")
        number, _, signature = session.partition(".")
        is_ours = hmac.compare_digest(self._signed(number).encode(), signature.encode("utf-8", "replace"))
        return session if is_ours else ""

    def is_led_here(self, request: web.Request) -> bool:
        """Whether another site led here, as a mail does, or a proxy's login: the cookie stays behind then.

        What our own page asks for next has it again.
        """
        how = [request.headers.get(f"Sec-Fetch-{name}") for name in ("Site", "Mode", "Dest")]
        return request.method == "GET" and how == ["cross-site", "navigate", "document"]

    def check_in(self, request: web.Request) -> str:
        """Whether somebody let it in; a session that begins with it, else "". Raises Refused."""
        if self._user_header and not self.user(request):
            raise Refused(403, "The proxy did not say who you are, so nothing is shown.")
        if self.session(request):
            return ""
        if self._origin and request.method != "POST":
            return self._begin()
        raise Refused(
            403,
            "Open the link that the program printed when it started. It works once, and for ten minutes; whoever "
            "started it can make another one.",
        )

    def user(self, request: web.Request) -> str:
        """Who it is, by the proxy; "" where none says so."""
        said = request.headers.getall(self._user_header, []) if self._origin and self._user_header else []
        return spelled(said[0].strip())[:200] if len(said) == 1 else ""

    def enter(self, token: str) -> str:
        """The session that a link's token begins, once. Raises Refused."""
        link = self._folder / ".links" / _digest(token)
        try:
            until = float(link.read_text(encoding="ascii"))
            link.unlink()  # whoever deletes it comes in
        except (OSError, ValueError):
            until = 0.0
        if time.time() > until:
            raise Refused(
                403, "This link was used or is too old: whoever started the program can make another one."
            )
        return self._begin()

    def give(self, session: str, response: web.StreamResponse) -> None:
        """Have the browser keep the session, until it is closed."""
        secure = bool(self._origin and self._origin.startswith("https"))
        response.set_cookie(self._cookie, session, httponly=True, samesite="Strict", path="/", secure=secure)

    def form_key(self, session: str) -> str:
        """What a form of this session must bring along."""
        return self._signed(f"form {session}")

    def check_form(self, session: str, brought: object) -> None:
        """Raises Refused for a form that is not of a page of this session."""
        if not isinstance(brought, str) or not hmac.compare_digest(
            self.form_key(session).encode(), brought.encode("utf-8", "replace")
        ):
            raise Refused(403, "This form is of an earlier visit, so nothing was done: open the page again.")

    def _begin(self) -> str:
        # Signed, so that none is kept: whoever asks a proxy's page without cookies begins one each time.
        number = secrets.token_hex(32)
        return f"{number}.{self._signed(number)}"

    def _signed(self, text: str) -> str:
        return hmac.new(self._key, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def note_server(folder: Path, said: dict[str, object]) -> None:
    """Leave word of who serves this folder. Raises OSError."""
    write_private(folder / ".server", json.dumps(said))


def server_of(folder: Path) -> dict[str, object]:
    """Who serves this folder, as far as it left word; nothing where nobody did."""
    try:
        said = json.loads((folder / ".server").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
