"""Posting to a webhook. Its URL is a secret, and aiohttp's exceptions hold it: none leaves this module."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import aiohttp

if TYPE_CHECKING:
    from pydantic import SecretStr

SECONDS: Final = 10.0
"""How long one try may take."""

TRIES: Final = 2


async def post(url: SecretStr, text: str, *, seconds: float = SECONDS) -> str | None:
    """Post `{"text": text}`, twice at most. None if it was taken, else why not, in words without the URL."""
    problem: str | None = None
    for _ in range(TRIES):
        problem, again = await _try(url, text, seconds)
        if not again:
            break
    return problem


async def _try(url: SecretStr, text: str, seconds: float) -> tuple[str | None, bool]:
    """Why one try failed, and whether another may do better."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.post(url.get_secret_value(), json={"text": text}, allow_redirects=False) as response,
        ):
            return _judged(response.status)
    except TimeoutError:
        return f"no answer within {seconds:g} s", True
    except (aiohttp.ClientError, OSError):
        return "no connection, or it was lost", True
    except ValueError:  # a URL that aiohttp can't use
        return "its URL can't be used", False


def _judged(status: int) -> tuple[str | None, bool]:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None, False
    if status < HTTPStatus.BAD_REQUEST:
        return f"HTTP {status}: redirects are not followed", False
    again = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return f"HTTP {status}", again
