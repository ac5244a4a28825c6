"""The sentence before a run: what is given to whom, until when, read from which columns, and taken from whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from ledgers import sheet_record

from batch_share.cli.screen import question_of, spell_intent
from batch_share.common import Rate
from batch_share.ledger.records import ToShare
from batch_share.ledger.states import State
from batch_share.sending.onlookers import Pace, Preview, RevokedEarlier
from batch_share.settings import Settings

NOW = datetime(2026, 9, 30, 12)  # noqa: DTZ001 - the ledger notes UTC without a zone
KOLKATA = ZoneInfo("Asia/Kolkata")
END = datetime(2026, 12, 31, 18, 29)  # noqa: DTZ001 - 31 December 2026 23:59 in Kolkata
WEEK = 7 * 1440
MAPPING = {"Contact E-mail": "Lead Email", "New Owner": "User Email", "Notes": "Note"}


def given(leads: int, people: int, reads: int, writes: int = 0, **lasting: Any) -> ToShare:
    """So many leads to so many people for a week, if nothing else is said."""
    return ToShare(leads, people, reads, writes, **(lasting or {"shortest": WEEK, "longest": WEEK}))


def previewed(to_share: ToShare | None, **reported: Any) -> Preview:
    """A run of a sheet with ordinary headers, whose calls take no time to speak of."""
    values: dict[str, Any] = {
        "sheet": replace(sheet_record(), mapping=MAPPING),
        "host": "https://leads.example",
        "states": {State.PENDING: 9},
        "changes": None,
        "cut_off": 0,
        "settings": Settings.model_construct(),
        "pace": Pace(Rate(25, 5.0), follow_up=True),
        "events": 1,
        "to_do": {State.PENDING: 9} if to_share and to_share.leads else {},
        "to_share": to_share,
        "zone": KOLKATA,
    }
    return Preview(**values | reported)


def said(to_share: ToShare | None, **reported: Any) -> str:
    return spell_intent(previewed(to_share, **reported), NOW)


FROM = "; lead from “Contact E-mail”, person from “New Owner”."


@pytest.mark.parametrize(
    ("to_share", "words"),
    [
        (given(275, 45, 182, 93), "275 leads to 45 people (182 read, 93 write), until 7 Oct 2026"),
        (given(1, 1, 1), "1 lead to 1 person (read), until 7 Oct 2026"),
        (given(1200, 1, 0, 1200), "1,200 leads to 1 person (write), until 7 Oct 2026"),
        (given(2, 2, 3, 1), "2 leads to 2 people in 4 shares (3 read, 1 write), until 7 Oct 2026"),
        (given(1, 1, 1, 1), "1 lead to 1 person in 2 shares (1 read, 1 write), until 7 Oct 2026"),
    ],
)
def test_how_many_leads_go_to_how_many_people(to_share: ToShare, words: str) -> None:
    assert said(to_share) == f"{words}{FROM}"


def minutes(shortest: int, longest: int | None = None) -> dict[str, Any]:
    return {"shortest": shortest, "longest": longest or shortest}


def ends(first: datetime | None, last: datetime | None = None) -> dict[str, Any]:
    return {"first_end": first, "last_end": last or first}


@pytest.mark.parametrize(
    ("lasting", "words"),
    [
        (minutes(7), "for 7 minutes"),
        (minutes(1), "for 1 minute"),
        (minutes(30), "for 30 minutes"),
        (minutes(720), "for 12 hours"),
        (minutes(1440), "until 1 Oct 2026"),
        (minutes(5, 50), "for 50 minutes at the longest, some only for 5 minutes"),
        (minutes(60, 720), "for 12 hours at the longest"),
        (minutes(7, WEEK), "until 7 Oct 2026 at the latest, some only for 7 minutes"),
        (minutes(1440, WEEK), "until 7 Oct 2026 at the latest"),
        (ends(END), "until 31 Dec 2026"),
        (ends(NOW + timedelta(days=9), END), "until 31 Dec 2026 at the latest"),
        (ends(NOW + timedelta(hours=5)), "until 22:30 on 30 Sep 2026"),
        (ends(NOW + timedelta(seconds=9.5 * 60)), "for 10 minutes"),
        (ends(NOW + timedelta(minutes=9), END), "until 31 Dec 2026 at the latest, some only for 9 minutes"),
        (minutes(WEEK) | ends(END), "until 31 Dec 2026 at the latest"),
        (minutes(7) | ends(END), "until 31 Dec 2026 at the latest, some only for 7 minutes"),
        (minutes(365 * 1440) | ends(END), "until 30 Sep 2027 at the latest"),
        ({"first_end": None, "last_end": NOW - timedelta(days=1)}, "until a time that is over"),
    ],
)
def test_how_long_is_reported_by_a_date_and_where_it_is_short_in_words(lasting: dict[str, Any], words: str) -> None:
    assert said(given(9, 3, 9, **lasting)) == f"9 leads to 3 people (read), {words}{FROM}"


def test_what_lasts_so_long_is_counted_from_when_the_last_share_may_be_made() -> None:
    slow = Pace(Rate(1, 5.0), follow_up=True)
    to_do = {State.PENDING: 17_280}  # 3 calls each, 5 s each: three days
    assert ", until 10 Oct 2026; " in said(given(17_280, 3, 17_280), pace=slow, to_do=to_do)


@pytest.mark.parametrize(("zone", "day"), [(KOLKATA, "1 Jan 2027"), (ZoneInfo("America/New_York"), "31 Dec 2026")])
def test_the_day_is_that_of_the_account(zone: ZoneInfo, day: str) -> None:
    late = datetime(2026, 12, 31, 20)  # noqa: DTZ001
    assert f", until {day}; " in said(given(9, 3, 9, **ends(late)), zone=zone)


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        (
            {"Mail": "Lead Email", "No": "Lead Number", "Rep": "Sales User"},
            "“No” and “Mail”, person from “Rep”",
        ),
        (
            {"Rep": "Sales User", "Rep Id": "User Id", "No": "Lead Number"},
            "“No”, person from “Rep Id” and “Rep”",
        ),
        (
            {"Lead\n [b]Id\x1b[1m": "Lead Id", "User Id": "User Id"},
            "“Lead [b]Id[1m”, person from “User Id”",
        ),
        ({"L" * 60: "Lead Id", "U" * 40: "User Id"}, f"“{'L' * 39}…”, person from “{'U' * 40}”"),
    ],
)
def test_the_columns_are_called_as_the_sheet_calls_them_the_surest_first(
    mapping: dict[str, str], words: str
) -> None:
    reported = said(given(1, 1, 1), sheet=replace(sheet_record(), mapping=mapping))
    assert reported == f"1 lead to 1 person (read), until 7 Oct 2026; lead from {words}."


def test_a_ledger_of_before_mappings_says_no_columns() -> None:
    assert said(given(1, 1, 1), sheet=sheet_record()) == "1 lead to 1 person (read), until 7 Oct 2026."


USERS = {"a@x.example": 3, "b@x.example": 2} | {f"{name}@x.example": 1 for name in "cdefg"}
SHEETS = [f"{number}.csv" for number in range(7)]


@pytest.mark.parametrize(
    ("taken", "words"),
    [
        (RevokedEarlier({"a@x.example": 1}, ["june.csv"]), "1 share of june.csv is revoked from a@x.example"),
        (
            RevokedEarlier({"a@x.example": 3, "b@x.example": 1}, ["june.csv", "july.csv"]),
            "4 shares of june.csv, july.csv are revoked from a@x.example (3), b@x.example",
        ),
        (
            RevokedEarlier(USERS, SHEETS),
            (
                "10 shares of 0.csv, 1.csv, 2.csv, 3.csv, 4.csv and 2 more are revoked from a@x.example (3), "
                "b@x.example (2), c@x.example, d@x.example, e@x.example and 2 more"
            ),
        ),
    ],
)
def test_what_is_revoked_is_reported_first(taken: RevokedEarlier, words: str) -> None:
    then = "Then 9 leads to 3 people (read), until 7 Oct 2026"
    assert said(given(9, 3, 9), revoked_earlier=taken) == f"{words}. {then}{FROM}"
    assert said(ToShare(), revoked_earlier=taken) == f"{words}{FROM}"
    assert said(None, revoked_earlier=taken, deed="try again") == f"{words}{FROM}"


def test_nothing_is_said_where_nothing_is_done_or_that_is_said_elsewhere() -> None:
    assert said(ToShare()) == ""
    assert said(None, deed="revoke") == ""


SOME = RevokedEarlier({"a@x.example": 1}, ["june.csv"])


@pytest.mark.parametrize(
    ("reported", "question"),
    [
        ({}, "Send?"),
        ({"revoked_earlier": SOME}, "Revoke and send?"),
        ({"revoked_earlier": SOME, "to_share": ToShare(), "to_do": {}}, "Revoke?"),
        ({"deed": "try again", "to_share": None}, "Try them again?"),
        ({"deed": "try again", "to_share": None, "revoked_earlier": SOME}, "Revoke and try again?"),
        ({"deed": "revoke", "to_share": None}, "Revoke these shares?"),
    ],
)
def test_the_question_says_what_yes_does(reported: dict[str, Any], question: str) -> None:
    assert question_of(previewed(**{"to_share": given(9, 3, 9)} | reported)) == question
