"""What a command that was asked for JSON, or for one line, prints where it could not do its work: why, at least."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch_share.errors import AccessDenied, BatchShareError, LedgerError, SettingsError, SheetError
from batch_share.results.notify import CUT, why_of

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for: a `command`, and the `file` it was to work on, if it was to work on one."""

    command: str
    file: Path | None

    @classmethod
    def of(cls, command_path: str, typed: Mapping[str, Any]) -> Asked:
        """By the command's own arguments, as they were typed."""
        file = next((typed[name] for name in ("sheet", "ledger", "folder") if typed.get(name)), None)
        return cls(command_path.partition(" ")[2], Path(file) if file else None)

    def stopped(self, error: BatchShareError, code: int, sent: int) -> dict[str, Any]:
        """What JSON has of a command that an error ended."""
        return self._ended(type(error).__name__, str(error), code, sent)

    def cut(self, code: int) -> dict[str, Any]:
        """What JSON has of a command that a person cut off: the ledger alone knows what was sent."""
        return self._ended(KeyboardInterrupt.__name__, CUT, code, None)

    def _ended(self, kind: str, words: str, code: int, sent: int | None) -> dict[str, Any]:
        file = None if self.file is None else str(self.file.absolute())
        told = {"kind": kind, "message": words}
        return {"command": self.command, "file": file, "sent": sent, "error": told, "exit_code": int(code)}

    def line(self, error: BatchShareError, code: int, sent: int) -> str:
        """The same in one line: `leads.csv: nothing sent: keys refused (exit 1)`."""
        return f"{self.name}: {in_short(error, sent)} (exit {code:d})"

    @property
    def name(self) -> str:
        """What a line is about."""
        return self.file.name if self.file is not None else self.command


def in_short(error: BatchShareError, sent: int) -> str:
    """How a command ended by an error, in few words: whether anything was sent, and why not more was."""
    return f"{'stopped' if sent else 'nothing sent'}: {_why(error)}"


def _why(error: BatchShareError) -> str:
    """Of what a person has to mend here, the error's own first sentence: the others say what to do next."""
    if isinstance(error, AccessDenied):
        return "keys refused"
    words = str(error)
    if isinstance(error, SheetError | LedgerError):
        row = error.row if isinstance(error, SheetError) else None
        words = error.problem if row is None else f"row {row}: {error.problem}"
    elif not isinstance(error, SettingsError) and (why := why_of(error)) is not None:
        words = why
    return " ".join(words.split()).partition(". ")[0].rstrip(".")


def answer(error: BatchShareError, asked: Asked, typed: Mapping[str, Any]) -> None:
    """Print the answer that the options ask for, if they do, of a command that ended by an error."""
    from batch_share.results.summary import code_of

    code = code_of(error)
    if typed.get("json"):
        print(json.dumps(asked.stopped(error, code, error.sent_before)))  # noqa: T201 - what was asked for
    elif "one_line" in typed and (typed["one_line"] or _is_one_line_set()):
        print(asked.line(error, code, error.sent_before))  # noqa: T201 - what was asked for


def _is_one_line_set() -> bool:
    from batch_share.settings import load_settings

    try:
        return load_settings().one_line
    except BatchShareError:  # that may be why
        return False
