"""What a cell may say: a canonical value, or a sentence on why not."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_share.sheet.values import (
    CUSTOM_LIMIT,
    digits,
    parse_access,
    parse_custom,
    parse_days,
    parse_email,
    parse_event,
    parse_guid,
    parse_lead_number,
    parse_note,
    parse_phone,
    parse_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable

INDIA = ZoneInfo("Asia/Kolkata")
PARSERS: list[Callable[[str], object]] = [
    parse_guid,
    parse_lead_number,
    parse_email,
    parse_phone,
    parse_access,
    parse_event,
    parse_note,
    parse_custom,
    parse_days,
    lambda text: parse_until(text, INDIA),
]


@pytest.mark.parametrize("text", ["2026-12-31", "20261231", "2026-W53-4", "2026W534"])
def test_a_date_is_the_end_of_its_day_however_it_is_written(text: str) -> None:
    assert parse_until(text, INDIA) == dt.datetime(2026, 12, 31, 23, 59, tzinfo=INDIA)


@pytest.mark.parametrize("text", ["2026-12-31 00:00", "2026-12-31T00:00:00"])
def test_midnight_that_is_written_is_midnight(text: str) -> None:
    assert parse_until(text, INDIA) == dt.datetime(2026, 12, 31, tzinfo=INDIA)


@pytest.mark.parametrize(
    "text", ["0001-01-01 00:00", "9999-12-31 23:59-12:00", "2026-02-29", "31.12.2026", "46022"]
)
def test_a_moment_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a date"):
        parse_until(text, INDIA)


@pytest.mark.parametrize(
    ("text", "minutes"), [("1", 1440), ("0.5", 720), ("7 days", 10080), ("1 Day", 1440), ("3d", 4320)]
)
def test_days_become_minutes(text: str, minutes: int) -> None:
    assert parse_days(text) == minutes


@pytest.mark.parametrize("text", ["", "0", "-1", "1,5", "a week", "1.2345", "99999"])
def test_what_is_no_number_of_days_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"days|minute"):
        parse_days(text)


@pytest.mark.parametrize(
    "text", ["a@x", "@x.com", "a@x..com", "a b@x.com", "a@b@x.com", "a@x.com,", "a" * 250 + "@x.com"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an e-mail address"):
        parse_email(text)


@pytest.mark.parametrize("text", ["+91-98123 45678", "(020) 123456", "98.12.34.56"])
def test_a_phone_number_stays_as_written_and_its_digits_are_known(text: str) -> None:
    assert parse_phone(text) == text
    assert digits(text).isdecimal()


@pytest.mark.parametrize("text", ["12345", "+-+-+-+-", "call me", "9.81235E+11"])
def test_what_is_no_phone_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"phone number|too long"):
        parse_phone(text)


def test_a_custom_field_may_be_as_long_as_its_limit_and_no_longer() -> None:
    assert parse_custom("x" * CUSTOM_LIMIT)
    with pytest.raises(ValueError, match=f"{CUSTOM_LIMIT + 1} characters"):
        parse_custom("x" * (CUSTOM_LIMIT + 1))


@given(st.text(max_size=40) | st.from_regex(r"[0-9 .:TWZ+-]{1,30}", fullmatch=True))
def test_whatever_a_cell_says_the_only_error_is_one_sentence(text: str) -> None:
    for parse in PARSERS:
        try:
            parse(text)
        except ValueError as error:
            assert str(error)  # noqa: PT017 - either ending is right
            assert "\n" not in str(error)  # noqa: PT017
