"""Where a marker counts: at the start of a note, or as a whole field; not where somebody's text quotes it."""

from __future__ import annotations

import pytest

from batch_share.ledger.states import Stage
from batch_share.sending.steps import in_note, marker_of, markers_in
from batch_share.sheet.values import parse_custom, parse_note

BARE = marker_of("key", Stage.ACTIVITY)
NOTE = in_note(BARE)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (f"{NOTE} hello", {NOTE}),
        (f"active\n{NOTE}\nmore", {NOTE}),
        (f"active\n{BARE}\nmore", {BARE}),
        (f"see {NOTE}", set()),
        (f"see {BARE}", set()),
        (f"{BARE} and more", set()),
        (f" {NOTE}", set()),
        (NOTE[:-1], set()),
        ("", set()),
    ],
)
def test_a_marker_counts_only_where_it_was_put(said: str, found: set[str]) -> None:
    assert markers_in(said) == found


@pytest.mark.parametrize("parse", [parse_note, parse_custom])
@pytest.mark.parametrize("text", [NOTE, BARE, f"  {NOTE} hello", BARE.upper()])
def test_a_sheet_may_not_say_what_another_row_is_found_by(parse: type, text: str) -> None:
    with pytest.raises(ValueError, match="begins with a marker of batch_share"):
        parse(text)


def test_a_sheet_may_quote_a_marker() -> None:
    assert parse_note(f"see {NOTE}") == f"see {NOTE}"
