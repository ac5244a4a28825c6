"""A sheet that is taken in again, but for what is unchanged, leaves the ledger that judging all of it leaves."""

from __future__ import annotations

import asyncio
import csv
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import AsyncMock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledgers import HOST, NOON
from plans import make_plan

from batch_share.errors import BatchShareError
from batch_share.leadsquared.people import FoundLead, FoundUser
from batch_share.ledger.files import LedgerName, open_ledger
from batch_share.ledger.records import Lookup, Occasion
from batch_share.ledger.states import State
from batch_share.ledger.store import Repeated
from batch_share.planning import intake
from batch_share.planning import overview as overviews
from batch_share.planning.directory import Directory, answer_for
from batch_share.planning.overview import Unasked, before_of, overview
from batch_share.planning.plan import Plan, SheetOptions
from batch_share.settings import Settings
from batch_share.sheet import reader, table
from batch_share.sheet.columns import USERS
from batch_share.sheet.rows import Ref, Selection

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from batch_share.ledger.records import Changes
    from batch_share.ledger.store import Ledger
    from batch_share.planning.unchanged import Unchanged

GUIDS: Final = [f"0f8fad5b-d9cb-469f-a165-7086772895{number:02x}" for number in range(10)]
LEADS: Final = [FoundLead(GUIDS[at], str(at), f"lead{at}@x.example", "") for at in range(8)]
PEOPLE: Final = [FoundUser(GUIDS[at], f"{name}@x.example", name, active=True) for at, name in enumerate(["a", "b"])]
TYPES: Final = {201: "Site visit", 202: "Phone Call"}
POOLS: Final[dict[str, list[str]]] = {
    "Lead Id": [*GUIDS[:8], GUIDS[1].upper(), GUIDS[9], "x"],
    "Lead Number": [*map(str, range(9)), "00003"],
    "Lead Email": [*(lead.email for lead in LEADS), "Lead2@x.example", ""],
    "User Id": [*GUIDS[:2], GUIDS[0], GUIDS[9]],
    "User Email": ["a@x.example", "b@x.example", "B@x.example", "nobody@x.example"],
    "Access": ["read", "write", "1", ""],
    "Duration": ["7d", "90", "", "7 days", "soon"],
    "Until": ["2030-01-01", "", "2020-01-01"],
    "Note": ["Call him", "", "Hello", "x" * 1800],
    "Activity Event": ["201", "202", "Phone Call", "", "999"],
    "mx_Custom_1": ["", "a", "ü", "x" * 201],
    "Action": ["share", "revoke", ""],
    "City": ["Pune", "Köln", '"quoted", it is', ""],
}
OFTEN: Final = {"Until": 0.05, "Action": 0.05}

SENT: Final = [
    *((State.FAILED, "share"), (State.FAILED, "activity"), (State.UNKNOWN, "share")),
    *((State.ACCEPTED, None), (State.POSTED, None), (State.REVOKED, None)),
]

Rows = list[dict[str, str]]


def made_up(chance: Random) -> tuple[list[str], Rows]:
    """A sheet, most of whose cells are right."""
    header = [name for name in POOLS if chance.random() < OFTEN.get(name, 0.4)]
    for of in (("Lead Id", "Lead Number", "Lead Email"), ("User Id", "User Email")):
        header += [chance.choice(of)] if not {*of} & {*header} else []
    rows = [other_row(chance, header) for _ in range(chance.randint(1, 12))]
    return header, rows


def other_row(chance: Random, header: list[str]) -> dict[str, str]:
    row = {name: chance.choice(POOLS[name][: None if chance.random() < 0.1 else 3]) for name in header}
    # The other names of its lead and of its user are those of the same, most often.
    if chance.random() < 0.9:
        lead, user = chance.choice(LEADS), chance.choice(PEOPLE)
        named = {"Lead Id": lead.id, "Lead Number": lead.number, "Lead Email": lead.email}
        named |= {"User Id": user.id, "User Email": user.email}
        row |= {name: value for name, value in named.items() if name in row}
    return row


def changed(chance: Random, header: list[str], rows: Rows) -> Rows:
    """The same sheet, with no, one or some rows other, gone, new or moved."""
    rows = [*rows]
    for _ in range(chance.choice([0, 0, 1, 1, 3])):
        at = chance.randrange(len(rows))
        match chance.randrange(6):
            case 0:
                rows[at] = other_row(chance, header)
            case 1:
                rows.insert(at, other_row(chance, header))
            case 2:
                rows.insert(chance.randrange(len(rows) + 1), rows[at])
            case 3 if len(rows) > 1:
                del rows[at]
            case 4:
                rows.append(rows.pop(at))
            case _:
                name = chance.choice(header)
                rows[at] = rows[at] | {name: chance.choice(POOLS[name])}
    return rows


def plan_for(chance: Random, folder: Path, header: list[str], rows: Rows) -> tuple[Plan, Settings]:
    path = folder / "leads.csv"
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([header, *([row[name] for name in header] for row in rows)])
    given: dict[str, Any] = {"event": chance.choice(["201", "201", "Phone Call"])}
    given |= {"duration": chance.choice(["7d", "7d", "8d"]), "note": chance.choice(["", "", "Another"])}
    given |= {"access": chance.choice(["", "", "", "write"]), "allow_duplicates": chance.random() < 0.2}
    if chance.random() < 0.05:
        given |= {"until": "2030-01-01", "duration": ""}
    selection = Selection(limit=chance.randint(1, 9)) if chance.random() < 0.05 else Selection()
    options = Settings.model_construct(**given)
    return make_plan(path, SheetOptions(selection=selection), options), options


def answered(ref: Ref) -> Lookup:
    """What LeadSquared says of a name."""
    return answer_for(ref, PEOPLE if ref.field in USERS else LEADS)


async def taken_in(
    ledger: Ledger, plan: Plan, options: Settings, types: dict[int, str], *, anew: bool
) -> tuple[Changes, Unchanged | None]:
    """As a run takes a sheet in, its calls made up."""
    directory = Directory()
    with pytest.MonkeyPatch.context() as patch:
        if anew:
            patch.setattr(intake, "unchanged_rows", AsyncMock(return_value=None))
        unchanged, rest, first = await intake.look(ledger, plan, directory)
    answers = [*map(answered, first.unknown)]
    await ledger.note_lookups(answers)
    directory.learn(answers)
    if first.may_do:
        directory.learn_types(types)
        intake.check_type(plan, directory, options)
    if unchanged is None or unchanged.is_meant(directory):
        with suppress(Repeated):
            return await intake.commit(ledger, rest, directory, Occasion.SHEET, iter(()), unchanged), unchanged
    await intake.learn_all(ledger, directory)
    return await intake.commit(ledger, plan, directory, Occasion.SHEET, iter(()), None), None


def held(file: Path) -> dict[str, Any]:
    """All that a ledger holds."""
    with closing(sqlite3.connect(file)) as connection:
        tables = {name: f"SELECT * FROM {name} ORDER BY 1, 2" for name in ("about", "rows", "sheets", "lookups")}
        return {name: connection.execute(query).fetchall() for name, query in tables.items()}


def come_on(chance: Random, file: Path) -> None:
    """Rows are sent meanwhile."""
    with closing(sqlite3.connect(file)) as connection, connection:
        sent = "UPDATE rows SET state = ?, stage = ?, request_id = 'r', ends_at = '2030-01-01' WHERE id = ?"
        for row_id, state in connection.execute("SELECT id, state FROM rows").fetchall():
            if state in {State.INVALID, State.SKIPPED} or chance.random() < 0.2:
                continue
            to, stage = (State.SHARED, None) if chance.random() < 0.6 else chance.choice(SENT)
            connection.execute(sent, (to, stage, row_id))
            if chance.random() < 0.05:
                connection.execute("UPDATE rows SET notice_kind = 'double' WHERE id = ?", (row_id,))
        if chance.random() < 0.1:  # as an older version wrote it: JSON in another way, and some facts were unknown
            connection.execute("UPDATE rows SET cells = json(cells), custom = json(custom)")
            connection.execute("DELETE FROM about WHERE name = 'shown'")
            connection.execute("UPDATE lookups SET cause = NULL")


async def both_ways(
    folder: Path, plan: Plan, options: Settings, types: dict[int, str], *, recovers: bool = False
) -> int | None:
    """Take a sheet in as a run does, and beside it all of it anew. How many rows were unchanged."""
    file, beside = folder / "ledger.db", folder / "beside.db"
    shutil.copy(file, beside) if file.exists() else beside.unlink(missing_ok=True)
    found: list[tuple[Any, ...]] = []
    same: Unchanged | None = None
    for each, anew in ((file, False), (beside, True)):
        async with open_ledger(LedgerName.of(each), host=HOST, now=lambda: NOON) as ledger:
            await ledger.note(job="same")
            if recovers:  # another copy may have sent what is new here
                await ledger.begin_run("run", "1", {})
                await ledger.recover(lambda row: f"m{row.id}", NOON, 99)
            try:
                changes, unchanged = await taken_in(ledger, plan, options, types, anew=anew)
                same, ended = (same if anew else unchanged), repr(changes)
            except BatchShareError as error:
                ended = str(type(error))
        found.append((ended, held(each)))
    assert found[0] == found[1]
    return None if same is None else len(same)


async def planned_both_ways(folder: Path, plan: Plan, options: Settings, types: dict[int, str]) -> int | None:
    """Plan a sheet whose ledger is there, and beside it all of it anew. How many rows were unchanged."""
    options = options.model_copy(update={"data_folder": folder})
    found: list[tuple[Any, ...] | None] = []
    same: int | None = None
    for anew, kind in product((False, True), (Unasked, Directory)):
        with pytest.MonkeyPatch.context() as patch:
            if anew:
                patch.setattr(overviews, "unchanged_rows", AsyncMock(return_value=None))
            directory = kind()
            before = await before_of(LedgerName.of(folder / "ledger.db"), options, directory, plan)
            if kind is Directory:
                directory.learn([*map(answered, plan.first_look(directory).unknown)])
                directory.learn_types(types)
                try:
                    intake.check_type(plan, directory, options)
                except BatchShareError:  # for all rows, before any is judged
                    found.append(None)
                    continue
            seen = overview(plan, options, directory, before=before)
        if not anew:
            is_used = before.unchanged is not None and before.unchanged.is_meant(directory)
            same = len(before.unchanged) if is_used and before.unchanged is not None else None
        found.append((seen.as_json(), seen.obstacles, seen.to_look_up, seen.by_number, seen.unknown_users))
    assert found[:2] == found[2:]
    return same


async def several_times(chance: Random, folder: Path) -> None:
    (folder / "ledger.db").unlink(missing_ok=True)
    header, rows = made_up(chance)
    for _ in range(4):
        plan, options = plan_for(chance, folder, header, rows)
        types = chance.choice([TYPES, TYPES, TYPES, {}, {202: "Site visit"}, {201: "Phone Call", 202: "Call"}])
        if chance.random() < 0.1:  # it was approved as it is; of one that means another type by now it is refused
            plan = replace(plan, approved_types={"Phone Call": 202})
        if (folder / "ledger.db").exists():
            await planned_both_ways(folder, plan, options, types)
        await both_ways(folder, plan, options, types, recovers=chance.random() < 0.1)
        come_on(chance, folder / "ledger.db")
        if chance.random() < 0.05:
            header = [name for name in header if name != "City"]
        rows = changed(chance, header, rows)


@given(chance=st.randoms(use_true_random=False), size=st.integers(1, 6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10, deadline=None)
def test_the_ledger_is_as_if_all_was_judged(tmp_path: Path, chance: Random, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module in (table, reader):
            patch.setattr(module, "IN_BLOCK", size)
        asyncio.run(several_times(chance, tmp_path))


HEADER: Final = "Lead Id,User Email,Duration,Note,Activity Event,City"


@pytest.mark.parametrize(
    ("before", "after", "given", "types", "unchanged"),
    [
        pytest.param("012", "012", {}, TYPES, 3, id="nothing is other"),
        pytest.param("012", "012", {"note": "Another"}, TYPES, 3, id="another note for all"),
        pytest.param("012", "012", {"duration": "8d"}, TYPES, 0, id="another length for all"),
        pytest.param("012", "013", {}, TYPES, 2, id="another row"),
        pytest.param("012", "01", {}, TYPES, 2, id="a row less"),
        pytest.param("012", "0123", {}, TYPES, 3, id="a row more"),
        pytest.param("012", "3012", {}, TYPES, 0, id="a row more above all others"),
        pytest.param("0102", "3102", {}, TYPES, 2, id="what was there twice is there once"),
        pytest.param("012", "0120", {}, TYPES, None, id="what was there once is there twice"),
        pytest.param("012", "011", {}, TYPES, None, id="a row that becomes another one's like"),
        pytest.param(
            "012", "012", {"event": "Phone Call"}, {201: "Phone Call"}, None, id="a type called otherwise"
        ),
        pytest.param("012", "012", {}, {202: "Phone Call"}, None, id="a type that is gone"),
    ],
)
async def test_only_what_is_other_is_judged(
    tmp_path: Path, before: str, after: str, given: dict[str, str], types: dict[int, str], unchanged: int | None
) -> None:
    chosen = {"event": "Phone Call"} if given.get("event") else {"event": "201"}
    for leads, of_all, called in ((before, chosen, TYPES), (after, {**chosen, **given}, types)):
        path = tmp_path / "leads.csv"
        lines = [f"{GUIDS[int(lead)]},a@x.example,,,,Pune {at}" for at, lead in enumerate(leads)]
        path.write_text("\n".join([HEADER, *lines, ""]))
        values: dict[str, Any] = {"duration": "7d", "allow_duplicates": True, **of_all}
        options = Settings.model_construct(**values)
        plan = make_plan(path, SheetOptions(), options)
        planned = await planned_both_ways(tmp_path, plan, options, called) if leads is after else None
        same = await both_ways(tmp_path, plan, options, called)
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
            connection.execute("UPDATE rows SET state = 'shared', request_id = 'r', ends_at = '2030-01-01'")
    assert same == planned == unchanged


async def test_a_list_that_contradicts_an_unchanged_row_is_not_believed(tmp_path: Path) -> None:
    path, options = tmp_path / "leads.csv", Settings.model_construct(event="201", duration="7d")
    for numbers in ("012", "0123", "01234"):
        path.write_text("\n".join(["Lead Number,User Email", *(f"{number},a@x.example" for number in numbers), ""]))
        plan = make_plan(path, SheetOptions(), options)
        async with open_ledger(LedgerName.of(tmp_path / "ledger.db"), host=HOST, now=lambda: NOON) as ledger:
            if numbers != "012":
                directory = Directory()
                unchanged, *_ = await intake.look(ledger, plan, directory)
                assert unchanged is not None
                assert len(unchanged) == 3
                # Of one that is new no list is asked for, and all are not read for it.
                assert directory.contradicts(replace(LEADS[7], number="0")) == (len(numbers) - 3 > 1)
                continue
            await taken_in(ledger, plan, options, TYPES, anew=True)
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
            connection.execute("UPDATE rows SET state = 'shared', request_id = 'r', ends_at = '2030-01-01'")
