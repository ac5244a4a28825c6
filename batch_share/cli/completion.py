"""What the shell completes: sheets where a sheet is wanted, ledgers where a ledger is."""

from __future__ import annotations

import os
from pathlib import Path

LEDGERS = frozenset({".db"})


def complete_sheet(incomplete: str) -> list[str]:
    """The sheets that the text may become."""
    from batch_share.sheet.reader import TEXT_SUFFIXES, WORKBOOK_SUFFIXES

    return _files(incomplete, TEXT_SUFFIXES | WORKBOOK_SUFFIXES)


def complete_ledger(incomplete: str) -> list[str]:
    """The ledgers that the text may become."""
    return _files(incomplete, LEDGERS)


def _files(incomplete: str, suffixes: frozenset[str] | set[str]) -> list[str]:
    """Files with these suffixes, and folders; of a folder that is the only one what is in it, to go on at once."""
    folder, start = os.path.split(incomplete)
    found = [*_within(folder, start, suffixes)]
    if len(found) == 1 and found[0].endswith(os.sep):
        return [_written(each) for each in _within(found[0], "", suffixes) or found]
    return [_written(each) for each in found]


def _within(folder: str, start: str, suffixes: frozenset[str] | set[str]) -> list[str]:
    try:
        each = sorted(Path(folder or ".").expanduser().iterdir())
    except OSError:
        return []
    named = [path for path in each if path.name.startswith(start) and (start or not path.name.startswith("."))]
    folders = [os.path.join(folder, path.name, "") for path in named if path.is_dir()]  # noqa: PTH118 - as typed
    files = [path.name for path in named if path.suffix.lower() in suffixes and path.is_file()]
    return [*(os.path.join(folder, name) for name in files), *folders]  # noqa: PTH118


def _written(name: str) -> str:
    """As bash wants it: it takes what it is given as it stands, blanks and all."""
    in_bash = os.environ.get("_BATCH_SHARE_COMPLETE") == "complete_bash"
    return name.replace("\\", "\\\\").replace(" ", "\\ ") if in_bash else name
