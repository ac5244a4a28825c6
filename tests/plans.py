"""A plan of a sheet that is not open yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_share.planning.plan import plan_of
from batch_share.sheet.reader import read_sheet

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from batch_share.common import Order
    from batch_share.planning.plan import Plan, SheetOptions
    from batch_share.settings import Settings


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
