"""What a cell may say: a canonical value, or a sentence on why not."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_share.common import parse_duration
from batch_share.sheet.rows import parse_user
from batch_share.sheet.values import (
    CUSTOM_LIMIT,
    digits,
    parse_access,
    parse_action,
    parse_custom,
    parse_days,
    parse_email,
    parse_event,
    parse_guid,
    parse_lead_number,
    parse_moment,
    parse_note,
    parse_phone,
    plain_emails,
    plain_guids,
    plain_numbers,
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
    lambda text: parse_moment(text, INDIA, is_end=True),
]


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("1", 1440),
        ("0.5", 720),
        ("7 days", 10080),
        ("1 Day", 1440),
        ("3d", 4320),
        ("7.0", 10080),
        ("0.125", 180),
        ("1 week", 10080),
        ("12 hours", 720),
        ("90 min", 90),
    ],
)
def test_days_become_minutes(text: str, minutes: int) -> None:
    assert parse_days(text) == minutes


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "1,5", "1.500", "10.080", "one week", "1 month", "1.2345", "10080", "365000", "9999 weeks"],
)
def test_what_is_no_number_of_days_is_refused_without_a_word_of_minutes(text: str) -> None:
    """Whoever writes them into such a column shares for years."""
    with pytest.raises(ValueError, match=r"^not a number of days up to ten years: write one such as 7, or 2w$"):
        parse_days(text)


@pytest.mark.parametrize(
    "text",
    [
        *["a@x", "@x.com", "a@x..com", "a b@x.com", "a@b@x.com", "a@x.com,", "a" * 250 + "@x.com"],
        *["a@x.com <b@x.com>", "A <a@x.com> B", "A <a@x.com>, B <b@x.com>", "A <a@x.com; b@x.com>", "A <>"],
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an e-mail address"):
        parse_email(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Asha.RAO@Example.COM", "asha.rao@example.com"),
        ("Asha Rao <Asha@x.com>", "asha@x.com"),
        ("<asha@x.com>", "asha@x.com"),
        ("weiß@firma.example", "weiß@firma.example"),
        ("MÜLLER@x.com", "mÜller@x.com"),
        ("İpek@x.com", "İpek@x.com"),
        ("\u212aate@x.com", "\u212aate@x.com"),
        ("\uff41sha@x.com", "\uff41sha@x.com"),
        ("\u0430sha@x.com", "\u0430sha@x.com"),
        ("e\u0301va@x.com", "e\u0301va@x.com"),
    ],
)
def test_an_address_is_not_changed_but_for_the_case_of_a_to_z(text: str, address: str) -> None:
    assert parse_email(text) == address


@pytest.mark.parametrize("text", ["mailto:asha@x.com", "MailTo:asha@x.com"])
def test_what_stands_before_an_address_is_not_taken_off_in_silence(text: str) -> None:
    with pytest.raises(ValueError, match="mailto"):
        parse_email(text)


@pytest.mark.parametrize("text", ["SMTP:asha@x.com", "asha＠x.com", "asha@x。com"])
def test_what_only_looks_like_an_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an e-mail address"):
        parse_email(text)


UNSEEN = {
    "\u200b": "U+200B, zero width space",
    "\u200d": "U+200D, zero width joiner",
    "\ufeff": "U+FEFF, zero width no-break space",
    "\u00ad": "U+00AD, soft hyphen",
    "\u2060": "U+2060, word joiner",
    "\u202e": "U+202E, right-to-left override",
    "\u200f": "U+200F, right-to-left mark",
    "\u00a0": "U+00A0, no-break space",
    "\u3000": "U+3000, ideographic space",
    "\u2028": "U+2028, line separator",
    "\u3164": "U+3164, hangul filler",
    "\ufe0f": "U+FE0F, variation selector-16",
    "\u2800": "U+2800, braille pattern blank",
    "\x07": "U+0007, a control character",
    "\t": "U+0009, a control character",
    "\U000e0041": "U+E0041, tag latin capital letter a",
}


@pytest.mark.parametrize("char", UNSEEN, ids=lambda char: f"{ord(char):04x}")
@pytest.mark.parametrize(
    ("parse", "before", "after"),
    [
        (parse_email, "asha", "@x.com"),
        (parse_email, "asha@x.com", ""),
        (parse_email, "", "asha@x.com"),
        (parse_user, "asha@x.", "com"),
        (parse_user, "0f8fad5b-d9cb-469f-a165", "-70867728950e"),
        (parse_guid, "0f8fad5b-d9cb-469f", "-a165-70867728950e"),
        (parse_lead_number, "100", "004"),
        (parse_phone, "+91-98123", "45678"),
    ],
)
def test_a_character_that_nobody_sees_is_named_with_its_place(
    parse: Callable[[str], object], before: str, after: str, char: str
) -> None:
    place = f"after {before[-20:]!r}" if before else "at its beginning"
    with pytest.raises(ValueError, match=re.escape(f"an unseen character ({UNSEEN[char]}) {place}: type it anew")):
        parse(f"{before}{char}{after}")


def test_a_note_may_hold_what_nobody_sees() -> None:
    assert parse_note("Call\u00a0her 👩\u200d💻") == "Call\u00a0her 👩\u200d💻"


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_lead_number, "١٢٣"),
        (parse_lead_number, "²"),
        (parse_phone, "٩٨١٢٣٤٥٦٧٨"),
        (parse_guid, "٠f8fad5b-d9cb-469f-a165-70867728950e"),
        (parse_event, "２０１"),
        (parse_days, "٧"),
        (parse_duration, "٧d"),
        (parse_access, "２"),
        (parse_action, "ſhare"),
        (lambda text: parse_moment(text, INDIA, is_end=True), "２０２６-12-31"),
    ],
)
def test_digits_and_letters_of_other_scripts_are_not_taken_for_ours(
    parse: Callable[[str], object], text: str
) -> None:
    with pytest.raises(ValueError, match=r"\bnot?\b|none"):
        parse(text)


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


_CELLS = (
    st.uuids().map(str)
    | st.uuids().map(lambda guid: str(guid).upper())
    | st.integers(0, 10**21).map(str)
    | st.emails()
    | st.sampled_from(
        ["", " 7", "7 ", "٣", "²", "a@b.c\nd@e.f", "7\n8", "0" * 8, "1" * 21, "mailto:a@b.c", "a@b", "\x1fa@b.c"]
    )
    | st.sampled_from(["00000000-0000-0000-0000-000000000000", f"{'a' * 250}@b.in", "Ä@b.c", "A@B.IN", "İ@b.c"])
)


@pytest.mark.parametrize(
    ("whole", "parse"),
    [(plain_guids, parse_guid), (plain_numbers, parse_lead_number), (plain_emails, parse_email)],
)
@given(st.data())
def test_a_column_read_at_once_says_what_its_cells_say(
    whole: Callable[[list[str]], list[str] | None], parse: Callable[[str], str], data: st.DataObject
) -> None:
    """Or is left to them: never is a cell taken that alone would be refused, nor one for two."""

    def said(text: str) -> str | None:
        with contextlib.suppress(ValueError):
            return parse(text)
        return None

    plain = _CELLS.filter(lambda text: said(text) is not None)
    cells = data.draw(st.lists(plain, max_size=6) | st.lists(_CELLS, max_size=6))
    read = whole(cells)
    assert read is None or read == [said(cell) for cell in cells]
    if cells and all(cell.isascii() and said(cell) is not None for cell in cells):
        assert read is not None


def test_guids_run_together_in_one_cell_are_not_read_as_two() -> None:
    guid = "0f8fad5b-d9cb-469f-a165-70867728950e"
    assert plain_guids([f"{guid}\n{guid}", ""]) is None
    assert plain_guids([f"{guid}\n{guid}"]) is None
    assert plain_guids([guid.upper(), guid]) == [guid, guid]
    assert plain_guids([]) is None
