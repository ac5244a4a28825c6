"""What is told of a job that ended, to whoever the setting `notify` names: a webhook, or a line in a file.

It names nobody and never changes how the job ends; aiohttp's exceptions, which hold the secret URL, stay in here.
"""

from __future__ import annotations

import html
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batch_share.errors import SettingsError
from batch_share.outputs import private
from batch_share.results.wording import headline, next_steps, others, spell_ending

if TYPE_CHECKING:
    from datetime import datetime

    from pydantic import SecretStr

    from batch_share.results.wording import Summary

_UNCHANGED: Final = "The run itself is not affected."
_BEGINS: Final = b'{"at": '


async def post(url: SecretStr, text: str, *, seconds: float = 10.0) -> str | None:
    """Post `{"text": text}`, in two tries of so many seconds. None, or why not, in words without the URL."""
    import aiohttp  # noqa: PLC0415 - few runs are told to a webhook

    # Two tries of 10 s outlast a dropped connection, and a run that ended is not kept waiting for half a minute.
    problem, timeout = "", aiohttp.ClientTimeout(total=seconds)
    for _ in range(2):
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
                session.post(url.get_secret_value(), json={"text": text}, allow_redirects=False) as response,
            ):
                problem = f"HTTP {response.status}" + ": redirects are not followed" * (response.status < 400)
                if response.status != 429 and response.status < 500:  # another try would do no better
                    return problem if response.status >= 300 else None
        except (aiohttp.ClientError, OSError, ValueError) as error:  # its words hold the URL
            late = f"no answer within {seconds:g} s"
            problem = late if isinstance(error, TimeoutError) else "no connection, or it was lost"
    return problem


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told: which `command` on which file, how it ended, any totals, how to release a held sheet."""

    command: str
    subject: Path
    ended: str
    exit_code: int
    at: datetime
    summary: Summary | None = None
    release: str = ""

    @property
    def text(self) -> str:
        """A few short lines for a chat."""
        first = f"batch-share {self.command} of {_printable(self.subject.name)}: {self.ended}."
        release, known = _printable(self.release), self.summary
        if known is None:
            return f"{first}\n{release or 'Its totals are unknown: look at the machine it ran on.'}"
        totals = f"{headline(known.states)} {others(known.states)}".strip()
        # A release says what is to be done with all of it.
        steps = () if release else (_printable(str(each)) for each in next_steps(known))
        results = f", results: {_printable(known.results.name)}" if known.results is not None else ""
        files = f"Ledger: {_printable(known.ledger.short)}{results}"
        return "\n".join(filter(None, (first, release, totals, spell_ending(known.ending), *steps, files)))

    def as_json(self) -> dict[str, Any]:
        """The same as data, for the line in a file."""
        reported: dict[str, Any] = {"at": f"{self.at.isoformat(timespec='seconds')}Z", "command": self.command}
        reported |= {"file": _printable(self.subject.name), "ended": self.ended, "exit_code": int(self.exit_code)}
        if self.summary is not None:
            reported |= self.summary.as_json()
            for name in ("ledger", "results", "failed_sheet"):
                reported[name] = _printable(Path(reported[name]).name) if reported[name] else None
            # Not why: that may name somebody.
            reported |= {"audit": {**self.summary.audit, "unread": {}}} if self.summary.audit else {}
            reported["unchecked"] = [{"what": each["what"], "rows": each["rows"]} for each in reported["unchecked"]]
        return reported | {"text": self.text}


def _printable(name: str) -> str:
    """The name of a file on one line."""
    return "".join(each if each.isprintable() else "?" for each in name)


def check_target(target: SecretStr) -> None:
    """Raises SettingsError, which does not name it, for a file to which nothing should be added."""
    file, begins = _file(target), b""
    with suppress(OSError, ValueError):  # whoever adds to it says why it can't be
        if file is not None and file.is_file():
            with file.open("rb") as begun:
                begins = begun.read(len(_BEGINS))
    if begins not in {b"", _BEGINS}:  # a sheet or a ledger would be spoilt
        wrong = "the file can't be appended to, since it holds something other than such lines"
        raise SettingsError("notify", f"{wrong}: name another one")


async def tell(target: SecretStr, notice: Notice) -> str | None:
    """Tell `target`. None if that was done, else one sentence that says why not and does not name the target."""
    if (file := _file(target)) is not None:
        return _append(file, target, notice)
    # As chats take it: the name of a file is neither a link nor a call to everybody.
    problem = await post(target, html.escape(notice.text, quote=False))
    return problem and f"The webhook was not told how it ended ({problem}). {_UNCHANGED}"


def _file(target: SecretStr) -> Path | None:
    return None if "://" in (named := target.get_secret_value()) else Path(named.removeprefix("file:"))


def _append(file: Path, target: SecretStr, notice: Notice) -> str | None:
    try:  # not Path.open: it can't say who may read a new file
        check_target(target)
        with open(file, "ab", opener=private) as out:
            out.write(f"{json.dumps(notice.as_json(), ensure_ascii=False)}\n".encode("utf-8", "replace"))
    except (SettingsError, OSError, ValueError) as error:
        # Not its name: it may be a webhook's URL without its https://.
        why = getattr(error, "wrong", None) or getattr(error, "strerror", None) or "its name can't be used"
        return f"The file that `notify` names was not written ({why}). {_UNCHANGED}"
    return None
