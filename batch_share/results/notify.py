"""What is told of a job that ended, to whoever the setting `notify` names: a webhook, or a line in a file.

It says counts and the names of files, never who the leads and users are, and never changes how the job itself ends.
A webhook's URL is a secret, and aiohttp's exceptions hold it: none leaves this module.
"""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from batch_share.errors import SettingsError
from batch_share.results.wording import headline, next_steps, others, spell_ending

if TYPE_CHECKING:
    from datetime import datetime

    from pydantic import SecretStr

    from batch_share.results.summary import Summary

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


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told: which `command` on which file, how it ended, and the totals, None where none are known."""

    command: str
    subject: Path
    ended: str
    exit_code: int
    at: datetime
    summary: Summary | None = None

    @property
    def text(self) -> str:
        """A few short lines for a chat."""
        first = f"batch-share {self.command} of {_printable(self.subject.name)}: {self.ended}."
        if self.summary is None:
            return f"{first}\nNothing is known of its rows: look at the machine that it ran on."
        summary = self.summary
        totals = " ".join(filter(None, (headline(summary.states), others(summary.states))))
        steps = next_steps(
            summary.states,
            summary.noticed,
            shlex.quote(_printable(summary.ledger.short)),
            renewable=summary.renewable,
        )
        files = [f"Ledger: {_printable(summary.ledger.short)}"]
        if summary.results is not None:
            files.append(f"results: {_printable(summary.results.name)}")
        ending = spell_ending(summary.ending)
        return "\n".join([first, totals, *([ending] if ending else ()), *steps, ", ".join(files)])

    def as_json(self) -> dict[str, Any]:
        """The same as data, for the line in a file."""
        reported: dict[str, Any] = {"at": f"{self.at.isoformat(timespec='seconds')}Z", "command": self.command}
        reported |= {"file": _printable(self.subject.name), "ended": self.ended, "exit_code": int(self.exit_code)}
        if self.summary is None:
            return reported | {"text": self.text}
        totals = self.summary.as_json()
        for name in ("ledger", "results", "failed_sheet"):
            totals[name] = _printable(Path(totals[name]).name) if totals[name] else None
        # Not why: that may name somebody.
        totals["unchecked"] = [{"what": each["what"], "rows": each["rows"]} for each in totals["unchecked"]]
        return reported | totals | {"text": self.text}


def for_chat(text: str) -> str:
    """The text as a chat takes it: the name of a file is neither a link nor a call to everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _printable(name: str) -> str:
    """The name of a file on one line."""
    return "".join(each if each.isprintable() else "?" for each in name)


FILE: Final = "file:"
_BEGINS: Final = b'{"at": '
_OTHER: Final = "it holds something else than such lines"


def check_target(target: SecretStr) -> None:
    """Raises SettingsError, which does not name it, for a file to which nothing should be added."""
    file = _file(target)
    if file is not None and not _is_for_lines(file):
        raise SettingsError("notify", f"the file can't be added to, since {_OTHER}: name another one")


async def tell(target: SecretStr, notice: Notice) -> str | None:
    """Tell `target`. None if that was done, else one sentence that says why not and does not name the target."""
    file = _file(target)
    if file is not None:
        return _append(file, notice)

    problem = await post(target, for_chat(notice.text))
    return problem and f"The webhook was not told how it ended ({problem}). The run itself is not changed by that."


def _file(target: SecretStr) -> Path | None:
    """The file that is to be told; None for a webhook."""
    named = target.get_secret_value()
    return None if "://" in named else Path(named.removeprefix(FILE))


def _is_for_lines(file: Path) -> bool:
    """Whether there is nothing in a file, or it begins as one of ours: a sheet or a ledger would be spoilt."""
    try:
        if not file.is_file():
            return True
        with file.open("rb") as begun:
            return begun.read(len(_BEGINS)) in {b"", _BEGINS}
    except (OSError, ValueError):  # whoever adds to it says why it can't be
        return True


def _append(file: Path, notice: Notice) -> str | None:
    if not _is_for_lines(file):
        why = f"since {_OTHER}"
        return f"The file that `notify` names was not written, {why}. The run itself is not changed by that."
    line = json.dumps(notice.as_json(), ensure_ascii=False) + "\n"
    try:
        handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(handle, "wb") as out:  # noqa: PTH123 - Path.open can't say who may read a new file
            out.write(line.encode("utf-8", "replace"))
    except (OSError, ValueError) as error:
        # Not its name: it may be a webhook's URL whose https:// was forgotten.
        why = (error.strerror if isinstance(error, OSError) else None) or "its name can't be used"
        return f"The file that `notify` names was not written ({why}). The run itself is not changed by that."
    return None
