"""A wire log answered again: the sandbox says to each call what an account once said to one like it.

The log's Ids are not the caller's, unless the sheet is run that comes with the log. So a call is taken for the
first one in the log, not answered yet, that asks for the same; whatever Id stands where in it stands for the log's
from then on, in answers too. An API that the log has no call of is not there.
"""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from batch_share.sandbox.wire import NO_SUCH_API, Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from batch_share.sandbox.wire import SandboxCall

FORM: Final = 1
"""Of the logs that are read here."""

_IDS: Final = re.compile(
    r"(?P<guid>(?<![0-9a-z])[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}(?![0-9a-z]))|(?P<marker>bs-[a-z2-7]{16})"
    r"|(?P<address>[^\s<>()\[\],;:\"'/\\]+@[^\s<>()\[\],;:\"'/\\]+)|(?P<digits>\d{5,})",
    re.IGNORECASE,
)
"""What a log replaces one for one."""

_TIMES: Final = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:]+")
"""What is another one whenever a sheet is run."""


class Asked:
    """A request: the `ids` in it, each with its kind, ordered by the fields' names, and what is `around` them."""

    def __init__(self, query: Mapping[str, str], body: Any) -> None:
        text = json.dumps([query, body], sort_keys=True, ensure_ascii=False)
        self.ids = [(each.lastgroup or "", _bare(each)) for each in _IDS.finditer(text)]
        self.around = _TIMES.sub("", _IDS.sub("", text))


@dataclass(slots=True)
class Exchange:
    """A call of the log by the `line` of it: what it asked for, and whether it was answered again."""

    asked: Asked
    line: Mapping[str, Any]
    used: bool = False


def _bare(found: re.Match[str]) -> str:
    return found[0].replace("-", "").lower() if found.lastgroup == "guid" else found[0].lower()


class Replay:
    """Answers as a log has it. As a wrapper of the sandbox it lets nothing through to its own account.

    `sheet` are the rows that were run, by what their cells are. Raises ValueError if the file is no wire log.
    """

    def __init__(self, file: Path) -> None:
        self.sheet: dict[int, Mapping[str, str]] = {}
        self._exchanges: dict[tuple[str, str], list[Exchange]] = defaultdict(list)
        self._called: dict[str, str] = {}  # by Ids of the log
        self._logged: dict[str, str] = {}  # by those of the caller
        self.calls = 0
        with file.open(encoding="utf-8") as lines:
            first = self._read(next(lines, ""))
            if first.get("wire_log") != FORM:
                raise ValueError("it is no wire log, or one of a newer version")
            for text in lines:
                line = self._read(text)
                if "row" in line:
                    self.sheet[line["row"]] = line["cells"]
                elif "path" in line and "not_sent" not in line:  # such a call was made again
                    place = line["method"], line["path"]
                    self._exchanges[place].append(Exchange(Asked(line["query"], line["request"]), line))
                    self.calls += 1

    @staticmethod
    def _read(text: str) -> dict[str, Any]:
        try:
            line = json.loads(text)
        except ValueError:  # a killed run may leave half a line
            return {}
        return line if isinstance(line, dict) else {}

    async def __call__(self, _: Callable[[SandboxCall], Awaitable[Reply]], call: SandboxCall) -> Reply:
        """Answer a call."""
        exchanges = self._exchanges.get((call.method, call.endpoint))
        if not exchanges:
            return NO_SUCH_API
        found = self._like(exchanges, Asked(call.query, json.loads(call.body) if call.body else None))
        line = found.line
        if "lost" in line:
            return Reply(0, b"", drop=True)
        body = line["text"] if "text" in line else _IDS.sub(self._as_called, json.dumps(line["answer"]))
        headers = {"Retry-After": line["retry_after"]} if "retry_after" in line else {}
        kind = "text/plain" if line["content_type"] == "other" else line["content_type"]
        return Reply(line["status"], body.encode(), headers, kind)

    def _like(self, exchanges: Sequence[Exchange], asked: Asked) -> Exchange:
        """The call of the log that is meant: of those that may be, the one with the most Ids that are known.

        Once all like it are used up, the last one is answered again: a status may be asked for more often here.
        """
        likeness = {at: self._likeness(each.asked, asked) for at, each in enumerate(exchanges)}
        fresh = [at for at, each in enumerate(exchanges) if not each.used]
        like = [at for at in likeness if likeness[at] is not None]
        if fresh_like := [at for at in fresh if at in like]:
            at = max(fresh_like, key=lambda at: (likeness[at] or (0, False), -at))
        else:
            at = like[-1] if like else fresh[0] if fresh else len(exchanges) - 1
        exchanges[at].used = True
        if at in like:
            for (_, theirs), (_, ours) in zip(exchanges[at].asked.ids, asked.ids, strict=True):
                self._called[theirs], self._logged[ours] = ours, theirs
        return exchanges[at]

    def _likeness(self, logged: Asked, asked: Asked) -> tuple[int, bool] | None:
        """How many of its Ids are known to be those, and whether all else is the same.

        None if it has Ids of other kinds, or one that is known to be another's.
        """
        if [kind for kind, _ in logged.ids] != [kind for kind, _ in asked.ids]:
            return None
        pairs = [(theirs, ours) for (_, theirs), (_, ours) in zip(logged.ids, asked.ids, strict=True)]
        if any(self._called.get(a, b) != b or self._logged.get(b, a) != a for a, b in pairs):
            return None
        return sum(theirs in self._called for theirs, _ in pairs), logged.around == asked.around

    def _as_called(self, found: re.Match[str]) -> str:
        """An Id of an answer, in the caller's words."""
        ours = self._called.setdefault(_bare(found), _bare(found))
        self._logged.setdefault(ours, _bare(found))
        return str(UUID(ours)) if found.lastgroup == "guid" and "-" in found[0] else ours

    def write_sheet(self, file: Path) -> None:
        """Write the rows that were run, to be run again. Raises OSError."""
        names = dict.fromkeys(name for cells in self.sheet.values() for name in cells)
        with file.open("x", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, names, restval="")
            writer.writeheader()
            writer.writerows(cells for _, cells in sorted(self.sheet.items()))
