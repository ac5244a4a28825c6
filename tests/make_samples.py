"""Makes samples/ again: `python tests/make_samples.py samples`.

Deterministic: the same world gives the same files, so a test can hold samples/ against this.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batch_share.sandbox import World
from batch_share.sandbox.sheets import EVENT, active_users, write_csv, write_excel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def write_minimal(world: World, file: Path) -> None:
    """The least that a sheet needs: which lead, which user. All else is given for the whole run."""
    users = active_users(world)
    rows = [(str(world.leads[number].number), users[number % 3].email) for number in range(400, 405)]
    _save_csv(file, [("Lead Number", "User Email"), *rows])


def write_mistakes(world: World, file: Path) -> None:
    """Rows that can't be sent, each for a reason of its own, and one that can."""
    lead, user, other = world.leads[500], active_users(world)[0], world.leads[501]
    good = [lead.id, str(lead.number), user.email, "read", "7d", "", str(EVENT), "Fine"]
    wrong: list[tuple[int, str]] = [
        (0, "not-a-guid"),
        (0, world.leads[502].id.replace("-", "")[:-1]),
        (1, "86-95-00"),
        (1, str(other.number)),
        (1, "8.69500000000000E+19"),
        (2, ""),
        (2, "asha"),
        (2, world.users[9].email),
        (2, "nobody@sales.example.com"),
        (3, "admin"),
        (4, "soon"),
        (4, "0"),
        (4, "1000000d"),
        (5, "31/12/2035"),
        (5, "2035-12-31"),
        (6, "callback"),
        (7, "<b>urgent</b>"),
        (7, "x" * 2000),
    ]
    rows = [[*good[:place], cell, *good[place + 1 :]] for place, cell in wrong]
    header = ("Lead Id", "Lead Number", "User Email", "Access", "Duration", "Until", "Activity Event", "Note")
    _save_csv(file, [header, good, *rows, good[:5], [*good, "one more"]])


def write_export(world: World, file: Path) -> None:
    """Another program's export: semicolons, Windows-1252, headers that need a mapping."""
    users = active_users(world)
    header = ("Kunde", "Lead-Nr", "Betreuer", "Zugriff", "Dauer", "Bemerkung")
    rows = [
        (lead.last_name, str(lead.number), users[lead.number % 4].email, "read", "7d", "Rückruf nötig")
        for lead in world.leads[600:612]
    ]
    with file.open("w", encoding="cp1252", newline="") as out:
        csv.writer(out, delimiter=";", lineterminator="\r\n").writerows([header, *rows])


def write_mapping_file(_world: World, file: Path) -> None:
    """What the columns of that export hold."""
    file.write_text(
        '[columns]\n"Lead-Nr" = "Lead Number"\nBetreuer = "User Email"\nZugriff = "Access"\nDauer = "Duration"\n'
        'Bemerkung = "Note"\n',
        encoding="utf-8",
    )


SAMPLES: Final[dict[str, Callable[[World, Path], None]]] = {
    "minimal.csv": write_minimal,
    "leads.csv": write_csv,
    "leads.xlsx": write_excel,
    "mistakes.csv": write_mistakes,
    "export.csv": write_export,
    "mapping.toml": write_mapping_file,
}
"""What is in samples/, and how each file is made."""


def _save_csv(file: Path, rows: Iterable[Sequence[str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    for _name, _write in SAMPLES.items():
        _write(World(), Path(sys.argv[1]) / _name)
