"""The sheets that were dropped on the page: each in a folder of its own, with what was said of it.

The folder is one as every command knows it: the sheet, its ledger and its results lie beside each other; where a
store is in force the ledger is in that.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import unicodedata
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batch_share import SHEET_SUFFIXES, LedgerName, SheetError
from batch_share.common import utc_now
from batch_share.errors import SettingsError, spelled
from batch_share.outputs import temporary_for, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr

_NOTE: Final = "page.json"
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_ELSEWHERE: Final = {"folder", "store"}  # what is not written down
_LONGEST: Final = 100  # characters of a name that are kept: enough to know a sheet by


@dataclass(slots=True)
class Kept:
    """A sheet in its `folder`: called `name` by people, in the `file` of that name, since `made` (UTC).

    `columns` say by header what each holds, `worksheet` which one is meant, `said` what holds for rows that don't
    say: settings by name. It is for the `account` of this name in the settings; "" where none is named there.
    Of failed rows, `of` is the ledger of the job that they are of, once they were run. `remark` is what somebody
    noted of its runs.
    `prepared_by`, `changed_by` (who said any of these) and `approved_by` are whom a proxy named. It was `approved`
    for so many rows to be sent; None: not yet.
    """

    id: str
    name: str
    file: str
    made: str
    columns: dict[str, str] = field(default_factory=dict)
    worksheet: str = ""
    said: dict[str, str] = field(default_factory=dict)
    account: str = ""
    prepared_by: str = ""
    changed_by: list[str] = field(default_factory=list)
    approved_by: str = ""
    approved: int | None = None
    of: str = ""
    remark: str = ""
    folder: Path = Path()
    store: SecretStr | None = None

    @property
    def sheet(self) -> Path:
        """Where the sheet is."""
        return self.folder / self.file

    @property
    def ledger(self) -> LedgerName:
        """What its ledger is called, be it there or not."""
        if self.of:  # a file by its path; in a store by the store's own name, without its password
            return LedgerName.of(self.of, None if Path(self.of).is_absolute() else self.store)
        beside = LedgerName.of_sheet(self.sheet)  # it may have been begun before there was a store
        return beside if beside.exists() else LedgerName.of_sheet(self.sheet, self.store)

    def note(self) -> None:
        """Write down what is said of it. Raises OSError."""
        target = self.folder / _NOTE
        with temporary_for(target) as temporary:
            said = {name: value for name, value in asdict(self).items() if name not in _ELSEWHERE}
            write_private(temporary, json.dumps(said, indent=2))
            temporary.replace(target)


class Shelf:
    """All sheets of a `folder`, which only its owner can read; their ledgers are beside them, or in the `store`.

    Raises SettingsError if others can write the folder.
    """

    def __init__(self, folder: Path, store: SecretStr | None = None) -> None:
        self.folder, self._store = folder, store
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = folder.stat()
        if os.name == "posix" and (there.st_uid != os.geteuid() or there.st_mode & _OTHERS_WRITE):
            # who can write here can leave a link of their own, and change what was approved
            why = f"{folder} is another user's, or others can write it: name one of your own (chmod go-w)"
            raise SettingsError("--folder", why, problem="Others can write the folder of the sheets.")

    def new(self, called: str, by: str) -> Kept:
        """A place for a sheet that is called so; its file is still to be written. Raises SheetError, OSError."""
        # What was not UTF-8 could not be shown again, and a line of its own in a name is nobody's.
        name = re.sub(r"[\x00-\x1f\x7f]", "_", spelled(re.split(r"[/\\]", called)[-1]))
        name = unicodedata.normalize("NFC", name).strip()[-_LONGEST:]
        suffix = Path(name).suffix.lower()
        if suffix not in SHEET_SUFFIXES:
            known = ", ".join(sorted(SHEET_SUFFIXES))
            words = f"it is no kind of sheet that can be read: {known}"
            raise SheetError(Path(name or "sheet"), words, hint="Save it as a workbook or as CSV, and choose that.")
        # No part of a path comes from outside but letters, digits and these; and few enough bytes for every disk.
        stem = re.sub(r"[^\w. -]", "_", name[: -len(suffix)]).encode()[:80].decode("utf-8", "ignore").strip(" ._")
        stem = stem or "sheet"
        made = utc_now()
        kept = Kept(secrets.token_hex(16), name, f"{stem}{suffix}", made.isoformat(timespec="seconds"))
        kept.prepared_by, kept.store = by, self._store
        kept.folder = self.folder / f"{made:%Y%m%d-%H%M%S}_{stem}_{kept.id[:6]}"
        kept.folder.mkdir(mode=0o700)
        return kept

    def all(self) -> list[Kept]:
        """Every sheet whose upload came to its end, newest first."""
        return sorted(self._found(), key=lambda kept: kept.made, reverse=True)

    def find(self, wanted: str) -> Kept | None:
        """The one with this Id."""
        return next((kept for kept in self._found(f"*_{wanted[:6]}") if kept.id == wanted), None)

    def _found(self, named: str = "*") -> Iterator[Kept]:
        known = {each.name for each in fields(Kept)}
        for note in self.folder.glob(f"{named}/{_NOTE}"):
            try:
                said = json.loads(note.read_text(encoding="utf-8"))
                ours = {"folder": note.parent, "store": self._store}
                yield Kept(**{name: value for name, value in said.items() if name in known} | ours)
            except (OSError, ValueError, TypeError):
                continue  # somebody changed it: no sheet of the page any more
