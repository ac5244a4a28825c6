"""What went over the wire, a line to a call, without anybody's data: fit to be sent to whoever is asked for help.

What may stand in it is listed, and nothing else does:

- names of fields made of words that LeadSquared's names are made of; short whole numbers, truth values;
- Ids, lead numbers, phone numbers, e-mail addresses and markers, each replaced by another of its form, the same
  wherever it stands, so that one sees which is which;
- dates under names of LeadSquared's own, and where a marker's share ends;
- of messages the words that LeadSquared's are made of.

Of all other text there is its kind and its length. Keys go in headers, which are left out.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID

from batch_share.common import __version__, utc_now
from batch_share.errors import SettingsError
from batch_share.leadsquared.protocol import Answer, Lost
from batch_share.outputs import private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from batch_share.leadsquared.protocol import Call, NotSent

FORM: Final = 1
"""Of the lines, in the first of them: who replays a log knows by it whether he can read it."""

SHORT: Final = 4
"""Digits of a number that names nobody: a code, a count. The shortest lead numbers seen on live accounts have six,
a PIN code has six, a year of birth stands in a date."""

WORDS_SHOWN: Final = 500
"""Characters of an answer that is no JSON of which the known words are shown: a web filter's page says in its
first lines what it is."""

_TOKEN: Final = re.compile(
    r"(?P<guid>(?<![0-9a-z])[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}(?![0-9a-z]))"
    r"|(?P<marker>bs-[a-z2-7]{16}(?![a-z2-7]))"
    r"|(?P<end>(?<=\] \[)\d{4}-\d\d-\d\dT\d\d:\d\dZ(?=\])|(?<=[a-z2-7] )\d{4}-\d\d-\d\dT\d\d:\d\dZ$)"
    r"|(?P<address>[^\s<>()\[\],;:\"'/\\]+@[^\s<>()\[\],;:\"'/\\]+)"
    r"|(?P<digits>\d+)"
    r"|(?P<word>[^\W\d_]+)",
    re.IGNORECASE,
)
_EXCEPTION: Final = re.compile(r"MX[A-Za-z]{1,60}Exception")
_LONGEST_NAME: Final = 64
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?(?:\.\d{1,7})?Z?)?")
_BETWEEN: Final = re.compile(r"[\s\[\](){}<>,.;:|/=&?!'\"+_-]*")
"""What stands between Ids in a list of them, and between the words of a message."""

_DATED: Final = frozenset({
    "createdon", "modifiedon", "activitydatetime", "fromdate", "todate", "createddate", "modifieddate",
    "date", "datetime", "until", "start",
})  # fmt: skip
_MESSAGES: Final = frozenset({
    "exceptiontype", "exceptionmessage", "errormessage", "message", "responsetext", "status", "error",
    "errors", "reason", "detail", "details", "title", "description", "role", "statuscode", "sharestatus",
    "access", "duration", "days", "action", "event", "timezone",
})  # fmt: skip
"""Names, in lower case, under which LeadSquared or a column of the sheet says something in words of a known few."""

_NAMING: Final = frozenset({"key", "schemaname", "attribute", "lookupname", "columnname", "includecsv"})
"""Names, in lower case, of what is itself the name of a field."""

_NAMES_A_VALUE: Final = frozenset({"key", "schemaname", "attribute", "lookupname"})
_NAMED: Final = frozenset({"value", "lookupvalue"})
"""Names, in lower case, of what names the value beside it, and of that value."""

_WORDS_OF_NAMES: Final = """
access account action active activities activity add added address agent attribute attributes auth auto body
bulk by call calls cell city code column columns common company context count country created csv custom
customer data date days deal deleted description details direction display duration email emails end entity
error errors event exception failed field fields first flag for from full get group groups guid has html http id
ids in include index info input invalid is item items key last lead leads length level like limit list lookup
lsq manager member message minutes mobile modified more mx name no note notes number object of offset on only
opportunity operator order org organization output owner page paging parameter parameters period permission
person phone platform primary processed product properties property prospect query rate reason record records
related request response result results retrieve revoke role row rows sales schema score search seconds service
set share shared short size sort sorting source sql stage start state status string success system tag team text
time timeout title to token total type types unique until update updated url urls user users value values view
write xss zone lsqcommon mail svc api
"""
_WORDS_OF_MESSAGES: Final = """
a after again all allowed already an and any are as at authentication authorised authorized bad be been before
between but can cannot could days does doesn't don deactivated denied details did disabled done duplicate each
either empty enabled enough exceed exceeded exceeds exist existing exists expired failure feature fail fails
found forbidden format gateway greater had have high hour hours inactive incorrect internal into it its large
least less longer made malformed mandatory match maximum mandatorily minute minimum missing most must need
needed next none not nothing null occurred occured once one or other out over owned parse pending permitted
please processing provided privilege privileges queued range read received refused required requests restricted
same second see server sent should some something successfully successful s came answer answered connection
broke off host specified submitted such support supported than that the their
them there this throttled times too try unauthorized unauthorised unavailable unexpected unknown unsupported up
use used valid was went were when where which while with within without wrong you your administrator marketing
manager day week weeks month months h d m w min mins hrs edit full control asc desc eq lik
"""
_KNOWN: Final = frozenset((_WORDS_OF_NAMES + _WORDS_OF_MESSAGES).split())
"""Words, in lower case, that LeadSquared's names and messages are made of, or may be: none is of anybody."""

_MADE_OF_KNOWN: Final = re.compile(
    "(?:" + "|".join(sorted((word for word in _KNOWN if len(word) > 1), key=len, reverse=True)) + ")+"
)
_HIDDEN: Final = "\0"
_HIDDEN_RUN: Final = re.compile(r"\0(?:[\0\s\[\](){}<>,.;:|/=&?!'\"+_-]*\0)?")
"""Characters that are not shown, with what stands between them."""

_CONTENT_TYPES: Final = frozenset({"application/json", "text/html", "text/plain", "application/xml", "text/xml"})


class Replacing:
    """Puts for each Id, number and address another of its form, the same wherever it stands."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], str] = {}
        self._counts: Counter[str] = Counter()

    def cleaned(self, value: Any, name: str = "", *, in_message: bool = False) -> Any:
        """A JSON value, which stands under `name`, without anybody's data."""
        plain = name.replace("_", "").lower()
        in_message = in_message or plain in _MESSAGES
        if isinstance(value, dict):
            named = next((each for key, each in value.items() if key.lower() in _NAMES_A_VALUE), "")
            return {
                self.field(each): self.cleaned(
                    inside, str(named) if each.lower() in _NAMED else each, in_message=in_message
                )
                for each, inside in value.items()
            }
        if isinstance(value, list):
            return [self.cleaned(each, name, in_message=in_message) for each in value]
        if isinstance(value, str):
            return self.text(value, plain, in_message=in_message)
        if isinstance(value, int | float) and not isinstance(value, bool):
            shown = str(int(value)) if isinstance(value, int) or value.is_integer() else ""
            if len(shown.lstrip("-")) <= SHORT and shown:
                return value
            return int(self._instead("digits", shown)) if shown.isdigit() else 0
        return value

    def field(self, name: str) -> str:
        """The name of a field: as it is where it is made of known words, else another."""
        bare = re.sub(r"[\d_. ]", "", name).lower()
        is_known = name.isascii() and len(name) <= _LONGEST_NAME and _MADE_OF_KNOWN.fullmatch(bare) is not None
        return name if is_known else self._instead("name", name)

    def text(self, text: str, plain: str = "", *, in_message: bool = False) -> str:
        """A text that stands under a name, which is `plain`: in lower case, without underlines."""
        bare = text.strip()
        if plain in _NAMING:
            return ",".join(self.field(each) if each else "" for each in text.split(","))
        if plain in _DATED and _DATE.fullmatch(bare):
            return text
        if bare.isascii() and bare.isdigit() and len(bare) <= SHORT:
            return text
        if bare.lower() in {"true", "false", "null"} or (in_message and _EXCEPTION.fullmatch(bare)):
            return text
        shown, end = [], 0
        for token in _TOKEN.finditer(text):
            shown.append(_hidden_unless(_BETWEEN.fullmatch, text[end : token.start()]))
            kind, word, end = token.lastgroup, token[0], token.end()
            if kind in {"guid", "marker", "address"} or (kind == "digits" and len(word) > SHORT):
                shown.append(self._instead(kind, word))
            elif kind == "end" or (in_message and (kind == "digits" or word.lower() in _KNOWN)):
                shown.append(word)
            else:
                shown.append(_HIDDEN * len(word))
        shown.append(_hidden_unless(_BETWEEN.fullmatch, text[end:]))
        return _HIDDEN_RUN.sub(lambda run: f"(text {len(run[0])})", "".join(shown))

    def exchange(self, call: Call, answer: Answer | NotSent | Lost) -> dict[str, Any]:
        """A call, and what came of it."""
        line: dict[str, Any] = {
            "method": call.method,
            "path": call.path,
            "query": self.cleaned(dict(call.query)),
            "request": self.cleaned(json.loads(call.body)) if call.body else None,
        }
        if not isinstance(answer, Answer):
            what = "lost" if isinstance(answer, Lost) else "not_sent"
            return line | {what: self.text(answer.words, in_message=True)}
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        retry = answer.headers.get("Retry-After", "")
        line |= {"status": answer.status, "content_type": kind if kind in _CONTENT_TYPES else "other"}
        line |= {"retry_after": retry} if retry.isascii() and retry.isdigit() else {}
        try:
            return line | {"answer": self.cleaned(json.loads(answer.body))}
        except (ValueError, RecursionError):
            said = answer.body[:WORDS_SHOWN].decode("utf-8", "replace")
            return line | {"text": self.text(said, in_message=True), "bytes": len(answer.body)}

    def _instead(self, kind: str, word: str) -> str:
        """What stands for it: the same for a GUID however it is written, and for an address."""
        bare = word.replace("-", "").lower() if kind == "guid" else word.lower()
        kind = f"{kind}{len(word)}" if kind == "digits" else kind
        made = self._made.get((kind, bare))
        if made is None:
            self._counts[kind] += 1
            made = self._made[kind, bare] = _made_up(kind, self._counts[kind], len(word))
        return str(UUID(made)) if kind == "guid" and "-" in word else made


def _hidden_unless(shows: Callable[[str], object], text: str) -> str:
    return text if shows(text) else _HIDDEN * len(text)


def _made_up(kind: str, number: int, length: int) -> str:
    """The so many-th of its kind: of the form of a real one, and told from one at a glance."""
    if kind == "guid":
        return f"{'0' * 12}40008000{number:012x}"
    if kind == "address":
        return f"person{number}@example.com"
    if kind == "name":
        return f"Field{number}"
    if kind == "marker":
        return "bs-" + base64.b32encode(number.to_bytes(10)).decode().lower()
    return f"9{number:0{length - 1}}"


class CallLog(Protocol):
    """Whoever is told of every call."""

    def note_row(self, sheet_row: int, cells: Mapping[str, str]) -> None:
        """A row of the sheet: the cells that are read, by what they are."""

    def note_call(self, call: Call, answer: Answer | NotSent | Lost, seconds: float) -> None:
        """A call that took so many `seconds`, and what came of it."""


class WireLog:
    """A file that gets a line for each call, in JSON. Only its owner can read it.

    Raises SettingsError if the file is there already, or can't be made.
    """

    def __init__(self, file: Path) -> None:
        self._replacing = Replacing()
        self._began = perf_counter()
        self._number = 0
        self.problem: str | None = None
        try:
            self._out = open(file, "x", encoding="utf-8", opener=private)  # noqa: SIM115 - closed at its end
        except FileExistsError as error:
            raise SettingsError("wire_log", f"{file} is there already: name a new file") from error
        except OSError as error:
            raise SettingsError("wire_log", f"{file} can't be written: {error.strerror}") from error
        self._write({"wire_log": FORM, "batch_share": __version__, "began": f"{utc_now():%Y-%m-%d %H:%M:%S}"})

    def __enter__(self) -> WireLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.close()

    def note_row(self, sheet_row: int, cells: Mapping[str, str]) -> None:
        """A row of the sheet: the cells that are read, by what they are."""
        self._write({"row": sheet_row, "cells": self._replacing.cleaned(dict(cells))})

    def note_call(self, call: Call, answer: Answer | NotSent | Lost, seconds: float) -> None:
        """A call that took so many `seconds`, and what came of it."""
        self._number += 1
        times = {"at": round(perf_counter() - self._began - seconds, 3), "seconds": round(seconds, 3)}
        self._write({"call": self._number} | times | self._replacing.exchange(call, answer))

    def _write(self, line: Mapping[str, Any]) -> None:
        if self.problem is not None:
            return
        try:
            self._out.write(json.dumps(line) + "\n")
            self._out.flush()  # it is wanted most of a run that was killed
        except OSError as error:  # the run goes on: nothing rests on what is written here
            self.problem = f"the wire log is not whole: {error.strerror}"
