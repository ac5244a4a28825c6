"""The process that parses a workbook: asked in lines of JSON on its standard input, it answers in such.

A workbook comes from anybody, and not all of its parsers are in Python: one may take all memory, come to no end, or
end its process. This one has limits and no keys, and it ends when its input does: nobody is left to ask.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from batch_share.errors import SheetError
from batch_share.sheet.limits import BARE_XLS, HEAD, OLE_MAGIC, ZIP_MAGIC, check_package, no_workbook
from batch_share.sheet.open_document import open_document_worksheets
from batch_share.sheet.table import DAMAGED
from batch_share.sheet.xls import xls_worksheets
from batch_share.sheet.xlsx import can_not_read, xlsx_worksheets

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch_share.sheet.table import RawRow, Worksheet

Answer = list[Any] | dict[str, Any]
"""A row as a list: its number, its cells and its faults, if it has any. What comes once is a mapping."""


def main() -> None:
    """Answer until nobody is left to ask."""
    out, sys.stdout = sys.stdout.buffer, sys.stderr  # whatever a parser has to say
    warnings.simplefilter("ignore")
    asked: SimpleQueue[Any] = SimpleQueue()
    Thread(target=_listen, args=(asked,), daemon=True).start()
    job = asked.get()
    limits = SimpleNamespace(**job["limits"])
    _limit(limits.memory_mb, limits.seconds)
    encode = json.JSONEncoder(separators=(",", ":")).encode
    for answer in answers(Path(job["path"]), limits, iter(asked.get, None)):
        out.write(f"{encode(answer)}\n".encode())
        if isinstance(answer, dict):
            out.flush()


def answers(path: Path, limits: Any, wanted: Iterator[int]) -> Iterator[Answer]:
    """Which worksheets there are; then, of each that is `wanted`, its rows and, last, what is to be known of it.

    Rows in which nothing stands are left out.
    """
    try:
        worksheets = _worksheets(path, limits)
        yield {"worksheets": [[each.name, each.visible] for each in worksheets]}
    except BaseException as error:
        yield _refusal(error)
        return
    for index in wanted:
        try:
            rows, markings = worksheets[index].read()
            yield from (_packed(row) for row in rows if row.faults or not row.is_blank)
            yield {"notes": markings.notes()}
        except BaseException as error:
            yield _refusal(error)


def _listen(asked: SimpleQueue[Any]) -> None:
    for line in sys.stdin.buffer:
        asked.put(json.loads(line))
    os._exit(0)


def _limit(memory_mb: int, seconds: int) -> None:
    """Take no more than this of the system, where it can be told so."""
    if sys.platform != "win32":
        memory = memory_mb * 1_000_000
        for what, most in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_CPU, seconds + 1),
            (resource.RLIMIT_AS, memory),
        ):
            with suppress(ValueError, OSError):  # macOS takes some for wishes, and refuses others
                resource.setrlimit(what, (most, most))


def _worksheets(path: Path, limits: Any) -> list[Worksheet]:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise SheetError(path, f"can't be read ({error.strerror})") from None
    if head.startswith((OLE_MAGIC, *BARE_XLS)):
        found = xls_worksheets(path)
    elif head.startswith(ZIP_MAGIC):
        check_package(path, limits)
        found = _of_package(path, head)
    else:
        raise SheetError(path, no_workbook(head))
    if not found:
        raise SheetError(path, DAMAGED)
    return found


def _of_package(path: Path, head: bytes) -> list[Worksheet]:
    with zipfile.ZipFile(path) as package:
        parts = {name.lower() for name in package.namelist()}
    if any(part.endswith("workbook.bin") for part in parts):
        raise SheetError(path, "a binary workbook (.xlsb), which is not read here: save it as .xlsx")
    if not parts.isdisjoint({"[content_types].xml", "_rels/.rels"}):
        return xlsx_worksheets(path)
    if not parts.isdisjoint({"content.xml", "meta-inf/manifest.xml"}):
        return open_document_worksheets(path)
    raise SheetError(path, no_workbook(head))


def _packed(row: RawRow) -> Answer:
    return [row.number, row.cells, [*row.faults.items()]] if row.faults else [row.number, row.cells]


def _refusal(error: BaseException) -> Answer:
    """Why there is no answer. What is no matter of the file is raised again."""
    if isinstance(error, SheetError):
        return {"refused": error.wrong}
    if can_not_read(error):
        return {"refused": DAMAGED}
    raise error
