"""The command that runs a sheet of failed rows says what its own sheet was run with, and no more."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ledgers import HOST, NOON, sheet_record, unsendable

from batch_share.common import Order
from batch_share.ledger.files import LedgerName, open_ledger
from batch_share.ledger.states import State
from batch_share.planning import plan
from batch_share.results.failed_sheet import OPTIONS, SETTINGS, command_for
from batch_share.settings import Settings
from batch_share.sheet.columns import match_columns
from batch_share.sheet.mapping import read_mapping

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch_share.ledger.records import SheetRecord

PLAIN = sheet_record(["Lead Number", "User Email"])


async def command(
    folder: Path,
    record: SheetRecord,
    *runs: tuple[str, Mapping[str, Any]],
    refused: Mapping[str, Any] | None = None,
    orders: Mapping[str, Order] | None = None,
) -> str:
    """After these runs, and one that was `refused` before it took its sheet in."""
    seconds = count()
    file = folder / "leads.db"
    async with open_ledger(
        LedgerName.of(file), host=HOST, now=lambda: NOON + timedelta(seconds=next(seconds))
    ) as ledger:
        for name, settings in runs:
            await ledger.begin_run(name, "1.0", settings)
            if name == "run":
                await ledger.note_dates(dict(orders or {}))
                await ledger.take_in(record, [unsendable(1, State.INVALID)])
        if refused is not None:
            await ledger.begin_run("run", "1.0", refused)
        return await command_for(ledger, "my leads.failed.csv")


async def test_it_has_the_options_that_change_what_a_row_means_and_no_others(tmp_path: Path) -> None:
    keys: dict[str, Any] = {
        "host": "https://api.leadsquared.com",
        "access_key": "the-key",
        "secret_key": "the-secret",
    }
    settings = Settings(
        **keys, event="201", access="write", duration="7d", note="it's $HOME", timezone="Asia/Kolkata",
        allow_duplicates=True, workers=3, bulk=True,
    )  # fmt: skip
    columns = ["Lead Number", "User Email", "Until"]
    dated = replace(sheet_record(columns), mapping=dict(zip(columns, columns, strict=True)))
    reported = await command(tmp_path, dated, ("run", settings.public()))
    assert shlex.split(reported)[2:] == [
        "my leads.failed.csv", "--event", "201", "--access", "write", "--duration", "7d",
        "--set", "note=it's $HOME", "--set", "timezone=Asia/Kolkata", "--set", "allow_duplicates=true",
    ]  # fmt: skip


async def test_how_the_sheet_was_read_is_not_how_the_file_is(tmp_path: Path) -> None:
    settings = Settings(header_row=4, encoding="windows-1250").public()
    reported = await command(tmp_path, PLAIN, ("run", settings))
    assert reported.endswith(" --set header_row=1 --set encoding=utf-8")


async def test_what_was_not_set_is_not_in_it(tmp_path: Path) -> None:
    assert await command(tmp_path, PLAIN, ("run", Settings().public())) == "batch-share run 'my leads.failed.csv'"


async def test_a_time_zone_is_only_for_sheets_with_dates(tmp_path: Path) -> None:
    assert "timezone" not in await command(tmp_path, PLAIN, ("run", {"timezone": "Asia/Kolkata"}))


@pytest.mark.parametrize(
    ("orders", "said"),
    [
        ({}, ""),
        ({"Until": Order.DMY}, " --set dates=dmy"),
        ({"Until": Order.DMY, "Start": Order.MDY}, ""),  # which no option says
    ],
)
async def test_it_says_how_dates_were_read_for_its_rows_may_not_tell(
    tmp_path: Path, orders: Mapping[str, Order], said: str
) -> None:
    columns = ["Lead Number", "User Email", "Until"]
    dated = replace(sheet_record(columns), mapping=dict(zip(columns, columns, strict=True)))
    assert (await command(tmp_path, dated, ("run", {}), orders=orders)).endswith(f"'my leads.failed.csv'{said}")


async def test_an_end_for_the_whole_run_is_in_it_with_its_time_zone(tmp_path: Path) -> None:
    reported = await command(tmp_path, PLAIN, ("run", {"until": "2026-12-31 18:00", "timezone": "Asia/Kolkata"}))
    assert reported.endswith(" --set 'until=2026-12-31 18:00' --set timezone=Asia/Kolkata")


async def test_the_options_are_those_of_the_last_run_of_the_sheet_whatever_came_after(tmp_path: Path) -> None:
    runs = ("run", {"event": "201"}), ("run", {"event": "202"}), ("follow-up", {"event": ""})
    assert (await command(tmp_path, PLAIN, *runs, refused={"event": "305"})).endswith(" --event 202")


@pytest.mark.parametrize(
    ("columns", "given", "maps"),
    [
        (["Lead Number", "User Email"], {}, []),
        (["Lead Number", "Owner mail"], {"Owner mail": "User Email"}, ["Owner mail=User Email"]),
        (["Lead Number", "User Email", "Note"], {"Note": "ignore"}, ["Note=ignore"]),
        (["Kunde", "Owner\nmail"], {"Kunde": "Lead Number", "Owner\nmail": "Sales User"},
         ["Kunde=Lead Number", "Owner mail=Sales User"]),
        (["Lead Number", "ProspectAutoId", "User Email"], {"ProspectAutoId": "ignore"}, None),
        (["Lead Number", "Email", "User Email"], {"Email": "Lead Email"}, ["Email=Lead Email"]),
        (["Email", "User Email", "mx_Custom_1", "Extra"], {"Extra": "mx_Custom_1"}, None),
        (["Lead Number", "Owner"], {"Owner": "Sales User"}, ["Owner=Sales User"]),
        (["Lead Number", "OwnerId", "OwnerIdEmailAddress"], {"OwnerIdEmailAddress": "User Email"},
         ["OwnerIdEmailAddress=User Email"]),
        (["ProspectAutoId", "OwnerId", "New rep"], {}, []),
        (["Lead Number", "Sales User", "User Id"], {}, []),
        (["Lead Number", "User", "Owner Email"], {"User": "Sales User", "Owner Email": "ignore"}, None),
    ],
)  # fmt: skip
async def test_columns_are_mapped_where_their_headers_leave_it_open(
    tmp_path: Path, columns: Sequence[str], given: Mapping[str, str], maps: list[str] | None
) -> None:
    found = match_columns(Path(), columns, given)
    mapping = {columns[at]: str(name) for name, at in (*found.fields.items(), *found.custom.items())}
    record = replace(sheet_record(columns), mapping=mapping)
    words = shlex.split(await command(tmp_path, record, ("run", {})))[3:]
    assert set(words[::2]) <= {"--map"}
    assert maps is None or words[1::2] == maps
    again = match_columns(Path(), [*columns, "Reason", "Sheet Row"], read_mapping(None, words[1::2]).columns)
    assert again == found


def test_no_option_that_is_read_into_blank_cells_is_missing() -> None:
    assert {each.name.lower() for each in plan._OPTIONS} <= {*OPTIONS, *SETTINGS}
    assert {*OPTIONS, *SETTINGS} <= {*Settings.model_fields}
