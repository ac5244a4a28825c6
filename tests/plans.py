"""A plan of a sheet that is not open yet, and both ways to judge its rows beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_share.planning.plan import plan_of
from batch_share.sheet.reader import read_sheet
from batch_share.sheet.rows import ColumnRules, Ref, ShareRow, user_ref

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from batch_share.common import Order
    from batch_share.planning.plan import Plan, SheetOptions
    from batch_share.settings import Settings
    from batch_share.sheet.reader import Sheet
    from batch_share.sheet.rows import RowRules


def make_plan(
    path: Path,
    options: SheetOptions,
    settings: Settings,
    *,
    zone: ZoneInfo | None = None,
    now: dt.datetime | None = None,
    before: Mapping[str, Order] | None = None,
) -> Plan:
    """Read the sheet's header, its dates and the options; `zone` is the account's."""
    plan = plan_of(read_sheet(path, options.read), options, settings, now=now, before=before)
    return plan.in_zone(zone) if zone and not plan.zone else plan


def check_columns(sheet: Sheet, rules: RowRules) -> None:
    """Each row that is judged with its column says what it says when it is judged alone."""
    by_columns = ColumnRules(rules)
    for block in sheet.blocks():
        asked, apart = by_columns.check(block)
        for at in range(len(block.cells)):
            if at in apart:
                continue
            row = rules.check(block.row(at))
            assert isinstance(row, ShareRow)
            lasting = asked.lasting[at]
            assert row.over is None
            assert (row.leads[0], row.users[0]) == (Ref(asked.lead, asked.leads[at]), user_ref(asked.users[at]))
            assert (row.access, row.event, row.start) == (asked.access[at], asked.events[at], asked.starts[at])
            assert (row.duration, row.until) == ((lasting, None) if isinstance(lasting, int) else (None, lasting))
