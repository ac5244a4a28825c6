"""Rates, waits and durations as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_share.common import (
    MAX_DURATION_MINUTES,
    Rate,
    ascii_lower,
    minutes_text,
    parse_duration,
    parse_seconds,
    seconds_text,
    spell_minutes,
)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("25/5s", Rate(25, 5.0)),
        (" 10 / 500 MS ", Rate(10, 0.5)),
        ("1/s", Rate(1, 1.0)),
        ("60/m", Rate(60, 60.0)),
        ("3/.5s", Rate(3, 0.5)),
        ("3/2.25s", Rate(3, 2.25)),
    ],
)
def test_a_rate_is_calls_by_period(text: str, rate: Rate) -> None:
    assert Rate.parse(text) == rate


@pytest.mark.parametrize(
    "text", ["", "25", "25/5", "0/5s", "25/0s", "25/0.000s", "-1/5s", "25/-5s", "1.5/s", "25/5h"]
)
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate: write calls/period, such as 25/5s"):
        Rate.parse(text)


@pytest.mark.parametrize(("limit", "period"), [(0, 5.0), (-1, 5.0), (1, 0.0), (1, -5.0)])
def test_a_rate_of_nothing_can_not_be_made(limit: int, period: float) -> None:
    with pytest.raises(ValueError, match="at least one call"):
        Rate(limit, period)


def test_a_rate_knows_its_pace() -> None:
    assert Rate(25, 5.0).per_second == 5.0


@given(st.integers(1, 999_999), st.integers(1, 9_999))
def test_a_rate_reads_back_as_it_is_written(limit: int, period: int) -> None:
    assert Rate.parse(str(Rate(limit, float(period)))) == Rate(limit, float(period))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("150ms", 0.15), ("3s", 3.0), ("10m", 600.0), ("1h", 3600.0), ("7", 7.0), (" 1.5 H ", 5400.0), ("0", 0.0)],
)
def test_a_wait_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1s", "1d", "1 s 2", "inf", "nan", "1e5"])
def test_what_is_no_wait_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is no length of time: write 150ms"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90),
        ("30m", 30),
        ("30 Min", 30),
        ("1 minute", 1),
        ("2 minutes", 2),
        ("12h", 720),
        ("1 hour", 60),
        ("2 hours", 120),
        ("7d", 10_080),
        ("1 day", 1440),
        ("2days", 2880),
        ("90 min", 90),
        ("90 mins", 90),
        ("12 hrs", 720),
        ("7.0", 7),
        ("7.00 days", 10_080),
        ("1 week", 10_080),
        ("2 Weeks", 20_160),
        ("2w", 20_160),
        (str(MAX_DURATION_MINUTES), MAX_DURATION_MINUTES),
    ],
)
def test_a_duration_is_read_in_minutes(text: str, minutes: int) -> None:
    assert parse_duration(text) == minutes


@pytest.mark.parametrize(
    "text", ["", "soon", "1.5h", "-5", "7y", "30s", "h", "10,080", "10.080", "10.000", "1,5", "2 months"]
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration: write minutes, or 30m, 12h, 7d, 2w"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0", "0d", str(MAX_DURATION_MINUTES + 1), "999999999d"])
def test_a_duration_out_of_bounds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not between 1 minute and ten years"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (1, "1 minute"),
        (90, "90 minutes"),
        (60, "1 hour"),
        (720, "12 hours"),
        (1440, "1 day"),
        (10080, "7 days"),
        (1500, "25 hours"),
    ],
)
def test_minutes_are_spelled_as_people_say_them(minutes: int, said: str) -> None:
    assert spell_minutes(minutes) == said


@given(st.integers(0, 10**8), st.sampled_from([0.001, 1, 60, 3600]))
def test_a_wait_reads_back_as_it_is_written(count: int, unit: float) -> None:
    assert parse_seconds(seconds_text(count * unit)) == pytest.approx(count * unit, rel=1e-11)


@given(st.integers(1, MAX_DURATION_MINUTES))
def test_a_duration_reads_back_as_it_is_written(minutes: int) -> None:
    assert parse_duration(minutes_text(minutes)) == minutes


@given(st.text())
def test_only_a_to_z_become_small(text: str) -> None:
    lower = ascii_lower(text)
    assert len(lower) == len(text)
    for before, after in zip(text, lower, strict=True):
        assert after == (before.lower() if before.isascii() else before)


@pytest.mark.parametrize("text", ["weiß@x.com", "İ", "\u212a", "ΑΣ", "ÄÖÜ"])
def test_letters_of_no_ascii_stay_as_they_are(text: str) -> None:
    assert ascii_lower(text) == text
