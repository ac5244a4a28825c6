"""What a person reads before and after a run."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from ledgers import because, sheet_record
from rich.console import Console

from batch_share.cli.entry import Asked
from batch_share.cli.screen import Display, console, one_line, why_skipped
from batch_share.common import Cause, Rate
from batch_share.errors import BatchShareError, NotConfirmed, TooManyRevokes
from batch_share.jobs.job import Ending
from batch_share.ledger.files import LedgerName
from batch_share.ledger.queries import Reasons
from batch_share.ledger.records import Alike, Changes, Occasion, Row, ToShare, Waiting, Why
from batch_share.ledger.states import Stage, State
from batch_share.results.wording import NOT_ASKED, Summary, spell_waiting
from batch_share.sending.onlookers import ByNumber, Doubt, Outlook, Pace, Preview, RevokedEarlier
from batch_share.settings import Settings


def previewed(states: dict[State, int] | None = None, **reported: Any) -> Preview:
    """Ten rows to be sent, if nothing else is said."""
    states = states or {State.PENDING: 10}
    values: dict[str, Any] = {
        "sheet": sheet_record(),
        "host": "https://leads.example",
        "states": states,
        "changes": None,
        "cut_off": 0,
        "settings": Settings.model_construct(),
        "pace": Pace(Rate(25, 5.0), follow_up=True),
        "events": 1,
        "to_do": {state: states[state] for state in (State.PENDING, State.POSTED) if state in states},
    }
    return Preview(**values | reported)


def screen(preview: Preview) -> str:
    """What is shown of it where output goes to a file."""
    out = io.StringIO()
    Display(yes=True, console=console(file=out)).agree(preview)
    return out.getvalue()


@dataclass
class Person:
    """Somebody at a terminal: what is answered, and what they saw."""

    answers: str = "n\n"
    saw: io.StringIO = field(default_factory=io.StringIO)

    def agrees(self, patch: pytest.MonkeyPatch, preview: Preview, **options: Any) -> bool:
        """Whether a run goes on that this person may be asked about."""
        stdin = io.StringIO(self.answers)
        patch.setattr(stdin, "isatty", lambda: True)
        patch.setattr("sys.stdin", stdin)
        terminal = Console(file=self.saw, force_terminal=True, color_system=None, width=80)
        return Display(console=terminal, **options).agree(preview)

    @property
    def was_asked(self) -> int:
        """How often a question was put."""
        return self.saw.getvalue().count("(y/N)")


def test_how_the_sheet_was_read_is_reported_below_its_name() -> None:
    first, second, *_ = screen(previewed(notes=["read as Windows-1252: “[Müller]”"])).splitlines()
    assert first.startswith("leads.csv")
    assert second == "  read as Windows-1252: “[Müller]”"


FIVE = RevokedEarlier({"asha@x.example": 3, "ravi@x.example": 2}, ["june.csv"])
GIVEN = ToShare(10, 3, 10, 0, 10080, 10080)


def taking(most: int = 0) -> dict[str, Any]:
    """Five earlier shares are revoked; so many may be unasked."""
    return {"revoked_earlier": FIVE, "settings": Settings.model_construct(max_revokes=most)}


@pytest.mark.parametrize("answer", ["y\n", "YES\n", "n\n", "\n", "", "sure\n"])
def test_on_a_terminal_a_run_of_any_size_asks_and_no_answer_means_no(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person(answer)
    preview = previewed({State.PENDING: 1}, to_share=replace(GIVEN, leads=1, people=1, reads=1))
    assert person.agrees(monkeypatch, preview) is (answer.strip().lower() in {"y", "yes"})
    assert person.was_asked == 1
    assert "1 lead to 1 person (read), until " in person.saw.getvalue()


@pytest.mark.parametrize("options", [{"yes": True}, {"yes": True, "json": True}])
def test_yes_answers_for_what_is_sent(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person()
    assert person.agrees(monkeypatch, previewed({State.PENDING: 900}, to_share=GIVEN), **options)
    assert person.was_asked == 0
    assert "10 leads to 3 people (read), until " in person.saw.getvalue()


def test_where_nothing_is_to_be_done_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person()
    assert person.agrees(monkeypatch, previewed({State.SHARED: 9}, to_share=ToShare()))
    assert person.was_asked == 0


@pytest.mark.parametrize(
    ("yes", "most", "asked"), [(False, 0, 1), (True, 0, 1), (True, 4, 1), (True, 5, 0), (False, 5, 1)]
)
def test_what_is_revoked_is_asked_with_the_rest_once_and_yes_does_not_answer(
    yes: bool, most: int, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person("n\n")
    assert person.agrees(monkeypatch, previewed(to_share=GIVEN, **taking(most)), yes=yes) is not asked
    assert person.was_asked == asked
    assert "5 shares of june.csv are revoked from asha@x.example (3), ravi@x.example (2)." in " ".join(
        person.saw.getvalue().split()
    )


def test_one_line_asks_on_a_terminal_and_shows_no_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person()
    assert not person.agrees(monkeypatch, previewed(to_share=GIVEN), one_line=True)
    assert person.saw.getvalue().startswith("10 leads to 3 people (read), until ")


@pytest.mark.parametrize("one_line", [False, True])
def test_before_the_question_a_person_sees_what_deserves_a_second_look(
    one_line: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, odd = Person(), ["Isha Rao gets 3 of 5 leads", "1 share lasts longer than 90 days: row 2"]
    person.agrees(monkeypatch, previewed(to_share=GIVEN, plan={"oddities": odd}), one_line=one_line)
    before, _ = person.saw.getvalue().split("10 leads to 3 people")
    assert [line for line in before.splitlines() if "Check" in line] == [f"Check: {each}" for each in odd]


def test_without_a_question_too_it_says_what_deserves_a_second_look() -> None:
    lines = screen(previewed(plan={"oddities": ["1 share lasts longer than 90 days: row 2"]})).splitlines()
    assert lines[-1] == "Check: 1 share lasts longer than 90 days: row 2"


def test_before_the_question_the_account_in_force_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person()
    settings = Settings.model_construct(account="europe")
    assert not person.agrees(monkeypatch, previewed(to_share=GIVEN, settings=settings))
    assert "→ europe (https://leads.example)" in person.saw.getvalue()


def test_an_ordinary_plan_and_its_question_are_short_and_broken_between_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mapping = {"Contact E-mail": "Lead Email", "New Owner": "User Email"}
    states = {State.PENDING: 275, State.INVALID: 4, State.SKIPPED: 21}
    reasons = [skipped(3, Why(Cause.ALREADY_SHARED, ALREADY), 21)]
    preview = previewed(
        states,
        sheet=replace(sheet_record(), mapping=mapping),
        skipped=reasons,
        to_share=ToShare(275, 45, 182, 93, 10080, 10080),
        to_do={State.PENDING: 275},
    )
    person = Person()
    person.agrees(monkeypatch, preview)
    lines = person.saw.getvalue().splitlines()
    assert len(lines) <= 10
    assert max(map(len, lines)) <= 80
    words = [word for line in lines for word in line.split()]
    sentence = " ".join(words)
    assert "Rows 3, 4, 5 and 18 more: already shared with this user until 2026-12-04 10:00 UTC" in sentence
    assert sentence.endswith("lead from “Contact E-mail”, person from “New Owner”. Send? (y/N)")


@pytest.mark.parametrize("stdin", [None, io.StringIO("y\n")])
@pytest.mark.parametrize(("rows", "yes", "goes"), [(50, False, True), (51, False, False), (51, True, True)])
def test_where_nobody_can_be_asked_more_than_50_rows_need_yes(
    stdin: Any, rows: int, yes: bool, goes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", stdin)  # None where it is closed
    out = io.StringIO()
    display = Display(yes=yes, console=Console(file=out, force_terminal=True, color_system=None, width=999))
    preview = previewed({State.PENDING: rows}, to_share=GIVEN)
    if goes:
        assert display.agree(preview)
    else:
        words = "Nothing was sent: 51 rows to send, more than 50, and nobody to ask. Add --yes to send them."
        with pytest.raises(NotConfirmed, match=words):
            display.agree(preview)
    assert not display.is_sure(Doubt([], "Sure?"))


def test_what_is_revoked_is_counted_as_shares_of_which_a_renewed_row_has_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    preview = previewed({State.SHARED: 2}, to_do={State.TO_REVOKE: 3}, deed="revoke", events=0)
    assert "  3 shares to revoke: " in screen(preview)
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(NotConfirmed, match="Nothing was revoked: 3 shares to revoke and nobody to ask"):
        Display(ask_above=0, console=console(file=io.StringIO())).agree(preview)


def test_a_question_that_nobody_would_see_is_not_put(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin, out = io.StringIO("y\n"), io.StringIO()
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", stdin)
    with pytest.raises(NotConfirmed):
        Display(console=console(file=out)).agree(previewed({State.PENDING: 51}))
    assert "(y/N)" not in out.getvalue()


def test_a_watch_asks_nobody_even_at_a_terminal_and_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person("y\n")
    with pytest.raises(NotConfirmed):
        person.agrees(monkeypatch, previewed({State.PENDING: 51}, to_share=GIVEN), asks=False, one_line=True)
    assert person.agrees(monkeypatch, previewed({State.PENDING: 50}), asks=False, one_line=True)
    assert person.saw.getvalue() == ""


@pytest.mark.parametrize("yes", [False, True])
def test_where_nobody_can_be_asked_shares_are_revoked_only_as_the_settings_allow(
    yes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    display = Display(yes=yes, console=console(file=io.StringIO()))
    with pytest.raises(TooManyRevokes, match="add --max-revokes 5,"):
        display.agree(previewed(**taking(4)))
    assert display.agree(previewed(**taking(5)))


@pytest.mark.parametrize(
    ("occasion", "why"),
    [
        (Occasion.SHEET, "The sheet or its options changed since this ledger was started"),
        (Occasion.CHOICE, "Different rows are chosen than last time; the sheet is the same"),
        (Occasion.FOUND, "Someone was found who was not found last time"),
        (Occasion.TIME, "Dates that were over, or too far away, last time are not now"),
    ],
)
def test_why_rows_are_other_ones_than_last_time(occasion: Occasion, why: str) -> None:
    assert f"\n  {why}: 8 of 10 rows are as they were.\n" in screen(previewed(changes=Changes(2, 8, 0, occasion)))


def test_rows_that_the_sheet_lost_are_counted_by_themselves() -> None:
    shown = screen(previewed(changes=Changes(7, 3, 0), earlier=3))
    assert (
        ": 3 of 10 rows are as they were.\n  3 rows from earlier sheets: what was sent for them stays.\n" in shown
    )


@pytest.mark.parametrize("changes", [None, Changes(10, 0, 0)])
def test_of_a_sheet_that_is_new_or_the_same_nothing_is_reported(changes: Changes | None) -> None:
    assert "as they were" not in screen(previewed(changes=changes))


@pytest.mark.parametrize(
    ("follow_up", "words"),
    [(True, "32 calls (with the follow-up), about 1 s"), (False, "22 calls (without the follow-up), about 1 s")],
)
def test_a_run_says_what_it_costs_as_its_plan_does(follow_up: bool, words: str) -> None:
    pace = Pace(Rate(25, 5.0), follow_up)
    assert f"  10 rows to send: {words} at 25/5s.\n" in screen(previewed(pace=pace))


def test_a_run_in_bulk_says_so() -> None:
    pace = Pace(Rate(25, 5.0), True, Rate(5, 5.0), 25)
    said = "  1,000 rows to send: 192 calls (with the follow-up), about 33 s at 25/5s, in bulk at 5/5s.\n"
    assert said in screen(previewed({State.PENDING: 1000}, pace=pace))


# ------------------------------------------------------------------------------------------------ the end

REASON = "LeadSquared refused the activity: " + "a long sentence without an end " * 12 + "0f8fad5b"


def reported(capsys: pytest.CaptureFixture[str], **changes: Any) -> list[str]:
    """The lines that are written at the end where output goes to a file."""
    Display().totals(Summary(ledger=LedgerName.of("leads.db"), **changes))
    return capsys.readouterr().out.splitlines()


def troubled(**changes: Any) -> Row:
    values: dict[str, Any] = {
        "id": 1,
        "key": "key",
        "sheet_row": 7,
        "cells": [],
        "state": State.FAILED,
        "instruction": None,
        "position": 5,
    }
    return Row(**values | changes)


ALREADY = {"until": "2026-12-04 10:00", "sheet": "july.csv", "row": 4, "run": "k3ab"}


def alike(rows: list[Row]) -> list[Alike]:
    reasons = Reasons()
    for row in rows:
        reasons.add(row)
    return reasons.most()


def skipped(first: int, why: Why, rows: int = 1, **changes: Any) -> Alike:
    """So many rows from this one on that are skipped for one reason."""
    row = troubled(state=State.SKIPPED, why=why, **changes)
    return alike([replace(row, sheet_row=number) for number in range(first, first + rows)])[0]


def test_rows_with_the_same_mistake_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    same = [troubled(state=State.INVALID, sheet_row=at, why=until("31/12/2026")) for at in range(25, 40)]
    lines = reported(capsys, states={State.INVALID: 15}, troubles=alike(same))
    assert "All 15 rows: Until '31/12/2026': not a date" in lines
    wrong = [*until("soon").details["problems"], ["User", "", "blank"]]
    other = troubled(state=State.INVALID, sheet_row=90, why=Why(Cause.INVALID, {"problems": wrong}))
    lines = reported(capsys, states={State.INVALID: 16, State.SHARED: 1}, troubles=alike([*same, other]))
    first = lines.index("Rows 25, 26, 27 and 13 more, for example row 25: Until '31/12/2026': not a date")
    assert lines[first + 1 : first + 3] == [
        "Row 90, User: blank",
        "Next: 16 rows failed or invalid: the results say why",
    ]


def test_what_is_wrong_is_told_before_look_ups_that_take_long() -> None:
    out, mistakes = io.StringIO(), alike([troubled(state=State.INVALID, why=until("soon"), sheet_row=5)])
    outlook = Outlook("visits.csv", 30, 2, mistakes, people=32, kept=4, least=30, most=34, seconds=12.0)
    Display(console=console(file=out)).foresee(outlook)
    first, *others = out.getvalue().splitlines()
    assert first == "visits.csv: 30 rows, 2 can't be sent:"
    assert others[0].startswith("  Row 5")
    assert others[-1] == "  Looking up 32 leads and users: 30 to 34 calls, at most 12 s."
    Display(console=console(file=out), one_line=True).foresee(outlook)
    assert len(out.getvalue().splitlines()) == len(others) + 1
    Display(console=console(file=out)).foresee(replace(outlook, by_number=ByNumber(400, 6, 5)))
    assert out.getvalue().splitlines()[-1] == (
        "  The 400 lead numbers take 6 calls where LeadSquared finds many at once, 5 where it lists leads in the "
        "order of their numbers, else one each."
    )


def test_what_leadsquared_refused_in_the_same_words_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    refused = [Why(Cause.REFUSED, {"said": f"No lead '{each}' here"}) for each in ("a", "b", "b")]
    rows = [
        troubled(sheet_row=at, stage=Stage.SHARE, why=why) for at, why in enumerate([*refused, refused[1]], start=2)
    ]
    rows[3] = replace(rows[3], stage=Stage.ACTIVITY)
    lines = reported(capsys, states={State.FAILED: 4}, troubles=alike(rows))
    said = "LeadSquared refused the share: No lead 'a' here"
    first = lines.index(f"Rows 2, 3 and 4, for example row 2: {said}")
    assert lines[first + 1] == "Row 5: LeadSquared refused the activity: No lead 'b' here"


def until(value: str) -> Why:
    return Why(Cause.INVALID, {"problems": [["Until", value, "not a date"]]})


def test_a_long_reason_is_neither_cut_nor_broken_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    lines = reported(capsys, states={State.FAILED: 1}, troubles=alike([troubled(why=because(REASON))]))
    assert f"Row 7: {REASON}" in lines


def test_a_row_that_the_sheet_lost_is_reported_by_where_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    lines = reported(
        capsys, states={State.FAILED: 1}, troubles=alike([troubled(position=None, why=Why(Cause.GONE))])
    )
    assert f"Formerly row 7: {NOT_ASKED}: its activity was posted, the lead was not shared" in lines


def test_how_unknown_rows_are_settled_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    Display().totals(Summary({State.UNKNOWN: 1}, LedgerName.of("/of mine/leads.db")))
    said = capsys.readouterr().out
    command = "batch-share resume '/of mine/leads.db' --only-unknown --set on_unknown=settle"
    assert f"send nothing else:\n  {command}\n" in said
    assert "--only-unknown" not in " ".join(reported(capsys, states={State.FAILED: 1}))


@pytest.mark.parametrize(
    ("states", "rows"),
    [
        ({State.ACCEPTED: 10, State.SHARED: 3}, "10 rows"),
        ({State.ACCEPTED: 1}, "1 row"),
        ({State.ENDING: 2, State.ACCEPTED: 1}, "3 rows"),
    ],
)
def test_how_rows_that_are_still_being_processed_are_asked_for_is_reported(
    capsys: pytest.CaptureFixture[str], states: dict[State, int], rows: str
) -> None:
    Display().totals(Summary(states, LedgerName.of("/of mine/leads.db")))
    command = "batch-share follow-up '/of mine/leads.db'"
    assert f"\nNext: {rows} not yet confirmed as processed; to ask again:\n  {command}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("states", "command", "then"),
    [
        ({State.UNKNOWN: 1}, "run", "resume leads.db --only-unknown --set on_unknown=settle"),
        ({State.UNKNOWN: 1}, "status --audit", "resume leads.db --only-unknown --set on_unknown=settle"),
        ({State.ACCEPTED: 1}, "run", "follow-up leads.db"),
        ({State.ACCEPTED: 1}, "status --audit", "status leads.db --audit"),
        ({State.SHARED: 1}, "run", "status leads.db --audit"),
    ],
)
def test_what_is_to_be_done_with_rows_comes_before_another_look_at_all(
    capsys: pytest.CaptureFixture[str], states: dict[State, int], command: str, then: str
) -> None:
    found = {"expected": 9, "seen": 0, "found": 0, "named": [], "unread": {}, "again": "2026-11-29T11:36:00Z"}
    audit = {"verdict": "not conclusive", "looked": 9} | found
    Display().end(Ending(Summary(states, LedgerName.of("leads.db"), audit=audit), sent=1, command=command))
    said = capsys.readouterr().out
    assert f":\n  batch-share {then}\n" in said
    assert said.count("batch-share ") == 1
    assert "Not proved yet: LeadSquared showed 0 of 9 activities." in said


def test_where_all_is_processed_no_follow_up_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "follow-up" not in " ".join(
        reported(capsys, states={State.SHARED: 1, State.REVOKED: 1, State.UNKNOWN: 1})
    )


def test_why_rows_are_skipped_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    reasons = [
        skipped(6, Why(Cause.LEFT_OUT, {"by": "--rows 2-5"}), 90),
        skipped(9, because("the same as row 3")),
        skipped(2, Why(Cause.GONE), position=None),
    ]
    lines = reported(capsys, states={State.SKIPPED: 95}, skipped=reasons)
    assert [line for line in lines if line.startswith("Skipped")] == [
        "Skipped: Rows 6, 7, 8 and 87 more: left out by --rows 2-5",
        "Skipped: Row 9: the same as row 3",
        f"Skipped: Formerly row 2: {NOT_ASKED}; nothing was sent for it",
        "Skipped: … and 3 more rows in the results.",
    ]


def test_of_reasons_that_were_counted_while_others_write_no_rows_less_than_none_are_left() -> None:
    assert why_skipped(1, [skipped(6, because("the same as row 3"), 2)]) == ["Rows 6 and 7: the same as row 3"]


def test_a_run_says_beforehand_why_rows_are_skipped() -> None:
    shown = screen(
        previewed({State.PENDING: 1, State.SKIPPED: 1}, skipped=[skipped(9, because("the same as row 3"))])
    )
    assert "  Not to be sent: 1 skipped.\n    Skipped: Row 9: the same as row 3\n" in shown


def test_a_ledger_without_rows_has_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert reported(capsys, states={}) == ["The ledger has no rows yet.", "Ledger: leads.db"]


def test_rows_that_wait_are_reported_with_the_time_of_the_first() -> None:
    waiting = Waiting(3, datetime(2026, 3, 1, 9))  # noqa: DTZ001 - the ledger notes UTC without a zone
    shown = screen(previewed({State.PENDING: 10}, to_do={State.PENDING: 7}, waiting=waiting))
    assert "  7 rows to send: " in shown
    assert "  3 rows wait for their start, the first until 2026-03-01 09:00 UTC.\n" in shown
    zone = ZoneInfo("Asia/Kolkata")  # as a plan tells it, where the sheet's dates are of the account's zone
    shown = screen(previewed({State.PENDING: 3}, waiting=waiting, zone=zone))
    assert "the first until 2026-03-01 14:30 Asia/Kolkata.\n" in shown
    assert (
        spell_waiting(Waiting(1, waiting.first))
        == "1 row waits for its start, the first until 2026-03-01 09:00 UTC."
    )


def test_one_line_tells_what_was_to_be_reached_first_and_keeps_rows_that_wait_apart() -> None:
    first = datetime(2026, 3, 1, 9)  # noqa: DTZ001
    states = {State.FAILED: 2, State.SHARED: 1097, State.PENDING: 3, State.INVALID: 0}
    reported = Summary(states, LedgerName.of("/elsewhere/a.db"), waiting=Waiting(2, first), sheet="leads.csv")
    assert one_line(reported, 1) == (
        "leads.csv: 1,097 shared, 1 pending, 2 failed, 2 waiting until 2026-03-01 09:00 UTC or later (exit 1); "
        "ledger /elsewhere/a.db"
    )
    assert (
        one_line(Summary({}, LedgerName.of("/elsewhere/a.db")), 0)
        == "no sheet: no row (exit 0); ledger /elsewhere/a.db"
    )


def test_where_failed_rows_can_be_fixed_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    lines = reported(capsys, states={State.FAILED: 1}, failed_sheet=Path("/of mine/leads.failed.csv"))
    assert "  batch-share run '/of mine/leads.failed.csv'" in lines
    assert not any("retry" in line for line in lines)


def test_rows_whose_activity_stands_are_reported_with_their_command(capsys: pytest.CaptureFixture[str]) -> None:
    lines = reported(capsys, states={State.FAILED: 2}, standing=2)
    first = lines.index("Next: 2 rows failed after the activity was posted; to share in it:")
    assert lines[first + 1] == "  batch-share retry leads.db"


def test_where_rows_were_refused_in_two_ways_both_steps_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    refused = {State.FAILED: 4, State.INVALID: 6}
    ledger, file = LedgerName.of("fault.csv.ledger.db"), Path.cwd() / "fault.failed.csv"
    summary = Summary(refused, ledger, failed_sheet=file, standing=4, renewable=1, other_end=1)
    Display(console=console(file=io.StringIO())).end(Ending(summary, command="run"))
    Display().totals(summary)
    for told in capsys.readouterr().out.split("Ledger:")[:2]:
        first, then, *_ = [line for line in told.splitlines() if line.startswith("  batch-share")]
        assert (first, then) == ("  batch-share run fault.failed.csv", "  batch-share retry fault.csv")
        assert "--renew 1d" not in told
        assert "Next: 1 row now says another end, which changes nothing: " in told


def test_rows_that_only_the_sheet_itself_can_fix_are_reported_apart(capsys: pytest.CaptureFixture[str]) -> None:
    lines = reported(capsys, states={State.INVALID: 2}, in_sheet=2)
    assert "Next: 2 rows to be fixed in the sheet itself, as the reason says; then run it again" in lines


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, ""), (1, "1 earlier share was revoked.\n"), (1200, "1,200 earlier shares were revoked.\n")],
)
def test_how_many_earlier_shares_were_revoked_is_reported_at_the_end(
    count: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = io.StringIO()
    ending = Ending(Summary({State.SKIPPED: 1}, LedgerName.of("leads.db")), revoked_earlier=count)
    Display(console=console(file=out)).end(ending)
    assert out.getvalue() == said
    assert "skipped" in capsys.readouterr().out


@pytest.mark.parametrize("one_line", [False, True])
def test_what_was_about_to_be_done_is_in_the_answer_to_a_script(
    capsys: pytest.CaptureFixture[str], one_line: bool
) -> None:
    asked, summary = Asked("run", Path("leads.csv")), Summary({}, LedgerName.of(Path("ledger.db")))
    errors: tuple[BatchShareError | None, ...] = None, NotConfirmed()
    for error in errors:
        ending = Ending(summary, error, preview=previewed(plan={"to_send": 10}))
        Display(json=True, one_line=one_line, console=console(file=io.StringIO())).end(ending, asked)
        assert json.loads(capsys.readouterr().out)["preview"] == {"to_send": 10}
    Display(json=True, console=console(file=io.StringIO())).end(Ending(summary, preview=previewed()), asked)
    assert "preview" not in json.loads(capsys.readouterr().out)
