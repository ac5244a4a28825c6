"""Dates as people write them: each form is read for certain or refused, and a column tells its own order."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_share.common import Order
from batch_share.errors import SheetError
from batch_share.sheet.columns import Columns, Field
from batch_share.sheet.reader import Sheet
from batch_share.sheet.rows import read_dates
from batch_share.sheet.table import RawRow, blocks_of
from batch_share.sheet.values import date_meant, parse_moment

if TYPE_CHECKING:
    from collections.abc import Sequence

INDIA = ZoneInfo("Asia/Kolkata")
LAST_OF_YEAR = [
    "2026-12-31",
    "31/12/2026",
    "31/12/26",
    "12/31/2026",
    "12/31/26",
    "31-12-2026",
    "31.12.2026",
    "31.12.26",
    "31-Dec-2026",
    "31-dec-26",
    "31 December 2026",
    "31 DEC 2026",
    "31 Dec 26",
    "Dec 31, 2026",
    "December 31 2026",
    "2026/12/31",
    "31st December 2026",
    "Dec 31st, 2026",
    "Thursday 31 Dec 2026",
    "Thu, 31/12/2026",
    "THU 31-Dec-2026",
    " 31  December\u00a02026 ",
    "46387",
    "46387.0",
]
TIMES = {
    "14:30": "14:30:00",
    "14:30:05": "14:30:05",
    "2:30 PM": "14:30:00",
    "2:30:05pm": "14:30:05",
    "12:05 am": "00:05:00",
}


def iso_date(text: str, order: Order | None) -> str:
    """What a cell means, as nobody misreads it."""
    return date_meant(text, order).iso


@pytest.mark.parametrize("text", ["2026-12-31", "20261231", "2026-W53-4", "2026W534", *LAST_OF_YEAR])
def test_a_date_is_its_whole_day_however_it_is_written(text: str) -> None:
    assert parse_moment(text, INDIA, is_end=True) == dt.datetime(2026, 12, 31, 23, 59, tzinfo=INDIA)
    assert parse_moment(text, INDIA, is_end=False) == dt.datetime(2026, 12, 31, tzinfo=INDIA)


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("text", [each for each in LAST_OF_YEAR[1:] if not each.startswith("46")])
def test_a_time_may_stand_behind_it(text: str, time: str) -> None:
    assert iso_date(f"{text} {time}", None) == f"2026-12-31 {TIMES[time]}"
    assert iso_date(f"{text.strip()}, {time}", None) == f"2026-12-31 {TIMES[time]}"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("46387.5", "2026-12-31 12:00:00"),
        ("46387.604166666664", "2026-12-31 14:30:00"),
        ("46387.99999999", "2027-01-01 00:00:00"),
        ("36526", "2000-01-01"),
        ("73050", "2099-12-31"),
        ("1 Sept 2026", "2026-09-01"),
        ("1 May 2026", "2026-05-01"),
        ("29/2/2028", "2028-02-29"),
        ("05/05/2026", "2026-05-05"),
        ("31/12/68", "2068-12-31"),
        ("3.4.2026", "2026-04-03"),
        ("2026/3/4", "2026-03-04"),
        ("Fri 03/04/2026", "2026-04-03"),
        ("Wed 03/04/2026", "2026-03-04"),
    ],
)
def test_what_is_certain_is_read(text: str, meant: str) -> None:
    assert iso_date(text, None) == meant


@pytest.mark.parametrize(
    "text", ["2026-12-31 00:00", "2026-12-31T00:00:00", "31.12.2026 00:00", "12/31/2026 12:00 AM"]
)
def test_midnight_that_is_written_is_midnight(text: str) -> None:
    assert parse_moment(text, INDIA, is_end=True) == dt.datetime(2026, 12, 31, tzinfo=INDIA)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "0001-01-01 00:00",
        "9999-12-31 23:59-12:00",
        "2026-02-29",
        "29/02/2026",
        "30.02.2026",
        "12.31.2026",
        "13/13/2026",
        "31/12/69",
        "31/12/99",
        "31/12/126",
        "31/12-2026",
        "31-12-26",
        "31/12",
        "31 12 2026",
        "2026/31/12",
        "26/12/31 Thu",
        "Friday 31 Dec 2026",
        "Thurs 31 Dec 2026",
        "Thursday",
        "31 st December 2026",
        "Dec 31",
        "Dec 31, 26",
        "31 Dez 2026",
        "31 Decem 2026",
        "31 décembre 2026",
        "٣١/١٢/٢٠٢٦",
        "31/12/2026 24:00",
        "31/12/2026 14:60",
        "31/12/2026 14:30 PM",
        "31/12/2026 0:30 AM",
        "31/12/2026 14:30:05.5",
        "31/12/2026 14:30Z",
        "31/12/2026 1430",
        "2026",
        "7",
        "36525",
        "73051",
        "46387,5",
        "46.387",
        "46387.5 14:30",
    ],
)
def test_what_is_not_certainly_a_date_is_refused_with_what_to_write(text: str) -> None:
    for order in (None, *Order):
        with pytest.raises(ValueError, match=r"^not a date: write 2026-12-31, or 2026-12-31 18:00$"):
            parse_moment(text, INDIA, order, is_end=True)


def test_three_numbers_are_of_the_order_that_is_said_or_of_none() -> None:
    assert iso_date("03/04/2026 14:30", Order.DMY) == "2026-04-03 14:30:00"
    assert iso_date("03/04/2026", Order.MDY) == "2026-03-04"
    assert iso_date("03.04.2026", Order.MDY) == "2026-04-03"
    said = "3 April 2026 or 4 March 2026? Write 2026-04-03 or 2026-03-04, or say --dates dmy or mdy"
    with pytest.raises(ValueError, match=re.escape(said)):
        iso_date("03/04/2026", None)
    with pytest.raises(
        ValueError, match=re.escape("not a date with the month first (--dates mdy): write 2026-12-31")
    ):
        iso_date("31/12/2026", Order.MDY)
    with pytest.raises(ValueError, match=r"first \(--dates dmy\): write 2026-12-31 14:30:00$"):
        iso_date("12/31/2026 2:30 PM", Order.DMY)


# ------------------------------------------------------------------------------------------------ whole columns


def sheet(*columns: Sequence[str], problem: str | None = None) -> Sheet:
    """A sheet with these columns, Until and Start; its last row has this problem."""
    fields = dict(zip((Field.UNTIL, Field.START), range(len(columns)), strict=False))
    rows = [RawRow(number, cells) for number, cells in enumerate(zip(*columns, strict=True), start=2)]
    rows[-1] = RawRow(rows[-1].number, rows[-1].cells, problem)
    found = Columns(fields, {})
    return Sheet(Path("a.csv"), None, 1, ["Until", "Start"][: len(columns)], found, lambda: blocks_of(rows), list)


@pytest.mark.parametrize(
    ("cells", "order", "notes"),
    [
        (["03/04/2026", "", "31/12/2026"], Order.DMY, ['"03/04/2026" is 3 April 2026']),
        (["12/31/26", "03/04/2026 14:30", "05/06/2026"], Order.MDY, ['"03/04/2026 14:30" is 4 March 2026 14:30']),
        (["31/12/2026", "31.12.2026"], Order.DMY, []),
        (["2026-12-31", "31 Dec 2026", "05/05/2026", "31.12.2026", "03.04.2026", "soon", ""], None, []),
        (["46387.5", "46388"], None, ['"46387.5" is 31 December 2026 12:00']),
    ],
)
def test_a_column_tells_its_own_order_and_what_it_leaves_open_is_shown_once(
    cells: list[str], order: Order | None, notes: list[str]
) -> None:
    dates = read_dates(sheet(cells), None, {})
    assert (dates.orders.get(Field.UNTIL), dates.notes) == (order, notes)


def test_each_column_is_read_by_itself() -> None:
    dates = read_dates(sheet(["03/04/2026", "31/12/2026"], ["03/04/2026", "01/31/2026"]), None, {})
    assert dates.orders == {Field.UNTIL: Order.DMY, Field.START: Order.MDY}
    assert dates.notes == ['Until: "03/04/2026" is 3 April 2026', 'Start: "03/04/2026" is 4 March 2026']


OPEN = (
    "column 'Until' leaves open whether \"03/04/2026\" (row 2) is 3 April 2026 or 4 March 2026: "
    "say which is meant with --dates dmy or --dates mdy"
)
BOTH = (
    'column \'Until\' has dates with the day first ("31/12/2026", row 3) and with the month first ("12/31/2026", '
    "row 2): say which is meant with --dates dmy or --dates mdy"
)
OTHER = (
    "column 'Until' has dates with the month first (\"12/31/2026\", row 2) and with the day first "
    "(so it was read before): say which is meant with --dates dmy or --dates mdy"
)


@pytest.mark.parametrize(
    ("cells", "before", "reported"),
    [
        (["03/04/2026", "05/06/2026"], {}, OPEN),
        (["03/04/2026", "05/06/2026"], {"Start": Order.DMY}, OPEN),
        (["03/04/2026", "05.06.2026"], {}, OPEN),
        (["12/31/2026", "31/12/2026"], {}, BOTH),
        (["12/31/2026", "03/04/2026"], {"Until": Order.DMY}, OTHER),
    ],
)
def test_a_column_that_tells_no_order_or_both_is_one_error(
    cells: list[str], before: dict[str, Order], reported: str
) -> None:
    with pytest.raises(SheetError) as caught:
        read_dates(sheet(cells), None, before)
    assert (caught.value.wrong, caught.value.row) == (reported, None)
    assert "--dates" not in caught.value.problem
    for said in Order:
        assert read_dates(sheet(cells), said, before).orders == {Field.UNTIL: said}


def test_what_a_column_leaves_open_is_as_the_job_read_it_before() -> None:
    for order in Order:
        dates = read_dates(sheet(["03/04/2026", "2026-01-01"]), None, {"Until": order})
        assert dates.orders == {Field.UNTIL: order}
    # What is certain needs no memory.
    assert read_dates(sheet(["12/31/2026"]), None, {"Until": Order.DMY}).orders == {Field.UNTIL: Order.MDY}


def test_a_row_whose_cells_may_have_shifted_tells_nothing() -> None:
    with pytest.raises(SheetError, match="leaves open"):
        read_dates(sheet(["03/04/2026", "31/12/2026"], problem="only 1 of 2 cells"), None, {})


# ------------------------------------------------------------------------------------------------ in any form

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


def written(day: dt.date, form: str) -> str:
    """A date as a person writes it in this form."""
    month = MONTHS[day.month - 1]
    short = {"d": day.day, "m": day.month, "y": f"{day.year % 100:02}", "Y": day.year}
    return form.format(**short, dd=f"{day.day:02}", mm=f"{day.month:02}", M=month, mon=month[:3])


NEUTRAL = [
    "{Y}-{mm}-{dd}",
    "{dd}.{mm}.{Y}",
    "{d}.{m}.{y}",
    "{d}-{mon}-{Y}",
    "{dd} {M} {Y}",
    "{mon} {d}, {Y}",
    "{M} {d}, {Y}",
]
ORDERED = {
    Order.DMY: ["{dd}/{mm}/{Y}", "{d}/{m}/{Y}", "{dd}/{mm}/{y}", "{dd}-{mm}-{Y}"],
    Order.MDY: ["{mm}/{dd}/{Y}", "{m}/{d}/{Y}", "{mm}/{dd}/{y}", "{mm}-{dd}-{Y}"],
}
DAYS = st.lists(st.dates(dt.date(2020, 1, 1), dt.date(2068, 12, 31)), min_size=1, max_size=6)


@given(st.data(), DAYS, st.sampled_from(Order))
def test_a_column_is_read_as_it_was_written_or_refused_and_never_otherwise(
    data: st.DataObject, days: list[dt.date], order: Order
) -> None:
    """Whoever writes it keeps to an order; nobody else knows which."""
    forms = st.sampled_from([*NEUTRAL, *ORDERED[order]])
    time = data.draw(st.sampled_from(["", " 14:30", " 2:30 PM"]))
    cells = [written(day, data.draw(forms)) + time for day in days]
    wanted = [f"{day} 14:30:00" if time else f"{day}" for day in days]
    for said in (order, None):
        try:
            dates = read_dates(sheet(cells), said, {})
        except SheetError:
            assert said is None
            continue
        assert [iso_date(cell, dates.orders.get(Field.UNTIL)) for cell in cells] == wanted


@given(st.data(), DAYS)
def test_a_column_of_both_orders_is_never_read_as_something_else(data: st.DataObject, days: list[dt.date]) -> None:
    """Each cell in an order of its own: what is read although nobody said how is right where a cell is certain."""
    orders = [data.draw(st.sampled_from(Order)) for _ in days]
    cells = [
        written(day, data.draw(st.sampled_from(ORDERED[each]))) for day, each in zip(days, orders, strict=True)
    ]
    for said in Order:
        for cell, day, each in zip(cells, days, orders, strict=True):
            try:
                read = iso_date(cell, said)
            except ValueError:
                assert each is not said
                continue
            assert read == f"{day}" or each is not said
    certain = {
        each for cell, each in zip(cells, orders, strict=True) if max(map(int, re.split("[/-]", cell)[:2])) > 12
    }
    if len(certain) == 2:
        with pytest.raises(SheetError):
            read_dates(sheet(cells), None, {})


@given(st.text("0123456789/.-:, JanPMpmT+Z", max_size=24))
def test_whatever_a_cell_says_it_is_a_date_or_one_sentence(text: str) -> None:
    try:
        iso_date(text, None)
    except ValueError as error:
        assert str(error).startswith("not a date") or "? Write " in str(error)  # noqa: PT017 - either ending is right
