"""What a person sees of a run: what it is about to do, and the question after it; the plan in short, how it ended.

All of it but the totals goes to standard error, so that `--json` leaves standard output to its object. `progress`
shows what is between them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import textwrap
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from batch_share.cli.entry import in_short
from batch_share.common import Cause, plural, spell_minutes, spell_time, utc_now
from batch_share.errors import NotConfirmed, spell_revoked_first
from batch_share.ledger.records import Occasion
from batch_share.ledger.states import State
from batch_share.results.wording import (
    CUT,
    MEANING,
    STOPPED,
    TO_SHARE_AGAIN,
    ExitCode,
    answer,
    end_in_short,
    headline,
    lasting,
    spell_alike,
    spell_audit,
    spell_by_number,
    spell_corrected,
    spell_earlier,
    spell_holder,
    spell_recalled,
    spell_unchecked,
    spell_waiting,
    steps_after,
    troubles_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from typing import IO

    from batch_share.cli.entry import Asked
    from batch_share.common import Holder
    from batch_share.jobs.job import Ending
    from batch_share.ledger.files import LedgerName
    from batch_share.ledger.records import Alike, ToShare
    from batch_share.results.wording import Step, Summary
    from batch_share.sending.onlookers import Cost, Doubt, Outlook, Preview, Progress

HOUR: Final = 60
"""Minutes below which a length is told in words: it is often a slip, such as 7 for 7d."""

DAY: Final = 1440
"""Minutes below which a date alone says too little."""

LONGEST_NAME: Final = 40
"""Characters of a header that are shown, or of an activity type's name."""

TYPES_NAMED: Final = 3
"""Activity types that are named; of the others only how many."""


def spell_intent(preview: Preview, now: datetime) -> str:
    """What is about to be revoked and sent, at `now` (UTC, without a zone); "" if neither is known."""
    given, named = preview.to_share, zip(("lead", "person"), preview.names_from, strict=True)
    columns = ", ".join(f"{who} from {' and '.join(map(_shown, headers))}" for who, headers in named if headers)
    reported = []
    if preview.revocations:
        taken, are = preview.revoked_earlier, "is" if preview.revocations == 1 else "are"
        reported.append(spell_revoked_first(taken.users, taken.sheets, are))
    if given is not None and given.leads:
        by = f" with {spell_activities(preview.activities)}" if preview.activities else ""
        reported.append(f"{'Then ' if reported else ''}{_giving(given)}{by}, {_lasting(preview, given, now)}")
    if reported and columns:
        reported[-1] += f"; {columns}"
    return " ".join(f"{sentence}." for sentence in reported)


def question_of(preview: Preview) -> str:
    """What a person is asked once that was said."""
    if preview.deed == "revoke":
        return "Revoke these shares?"
    if preview.deed == "try again":
        return "Revoke and try again?" if preview.revocations else "Try them again?"
    if not preview.revocations:
        return "Send?"
    return "Revoke and send?" if preview.to_send else "Revoke?"


def spell_activities(types: Sequence[tuple[int, str]]) -> str:
    """The activity types that are posted, each by its name and code: `activity “Site visit” (201)`.

    A code below 0 stands for one that is not known.
    """
    named = [
        f"{_shown(name)} ({code})" if name and code > 0 else _shown(name) if name else str(code)
        for code, name in types[:TYPES_NAMED]
    ]
    more = [f"{len(types) - TYPES_NAMED:,} more"] if len(types) > TYPES_NAMED else []
    *first, last = [*named, *more]
    return f"{'activity' if len(types) == 1 else 'activities'} {', '.join(first)}{' and ' if first else ''}{last}"


def _giving(given: ToShare) -> str:
    shares = given.reads + given.writes
    counted = {"read": given.reads, "write": given.writes}
    access = [f"{count:,} {name}" if count < shares else name for name, count in counted.items() if count]
    many = f" in {plural(shares, 'share')}" if shares != given.leads else ""
    people = plural(given.people, "person", "people")
    return f"{plural(given.leads, 'lead')} to {people}{many} ({', '.join(access)})"


def _lasting(preview: Preview, given: ToShare, now: datetime) -> str:
    """Until when the shares last, of several the latest; for how long where that is short.

    What lasts so many minutes is counted from when the run may make the last of its shares.
    """
    lengths = [given.shortest, given.longest] if given.shortest and given.longest else []
    ends = [given.first_end, given.last_end] if given.first_end and given.last_end else []
    minutes = [*lengths, *(ceil((end - now) / timedelta(minutes=1)) for end in ends)]
    if not minutes:
        return "until a time that is over"
    shortest, longest = min(minutes), max(minutes)
    if longest < HOUR or (longest < DAY and not ends):
        how, most = f"for {spell_minutes(longest)}", "at the longest"
    else:
        made = now + timedelta(seconds=preview.cost.seconds)
        last = max([*ends, *(made + timedelta(minutes=length) for length in lengths)])
        there = last.replace(tzinfo=UTC).astimezone(preview.zone)
        how, most = f"until {there.day} {there:%b %Y}", "at the latest"
        if longest < DAY:
            how = f"until {there:%H:%M} on {there.day} {there:%b %Y}"
    if shortest == longest:
        return how
    return f"{how} {most}{f', some only for {spell_minutes(shortest)}' if shortest < HOUR else ''}"


def _shown(header: str) -> str:
    """A header on one line, between quotation marks."""
    words = "".join(each for each in " ".join(header.split()) if each.isprintable())
    return f"“{words if len(words) <= LONGEST_NAME else f'{words[: LONGEST_NAME - 1]}…'}”"


UNBROKEN: Final = 100_000
"""Characters of a line where no terminal shows it: more than any reason has, so that none is broken."""

TROUBLES_SHOWN: Final = 10
"""Reasons for which rows need a person, those of most rows: with the totals they fit on one screen."""

REASONS_SHOWN: Final = 3
"""The same where they stand below an answer, which is to be seen with them."""

LINES: Final = 2
"""Of one of several things that are told together: `status` and the files have all of it."""

MISTAKES_FORESEEN: Final = 3
"""Reasons for which rows can't be sent that are told before people are looked up: a plan has them all."""

ASK_ABOVE: Final = 50
"""Rows above which a run asks before it sends: as many as somebody could still look through and revoke by hand."""

STYLES: Final = {
    State.SHARED: "green",
    State.ENDED: "yellow",
    State.ACCEPTED: "cyan",
    State.POSTED: "blue",
    State.FAILED: "bold red",
    State.INVALID: "red",
    State.UNKNOWN: "bold yellow",
    State.SKIPPED: "dim",
    State.TO_REVOKE: "bold yellow",
    State.ENDING: "cyan",
    State.REVOKED: "magenta",
}

CHANGED: Final = {
    Occasion.SHEET: "The sheet or its options changed since this ledger was started",
    Occasion.CHOICE: "Different rows are chosen than last time; the sheet is the same",
    Occasion.FOUND: "Someone was found who was not found last time",
    Occasion.TIME: "Dates that were over, or too far away, last time are not now",
}
"""Why rows may be other ones than at the last run."""

LOOKED_UP: Final = {
    "found": "found at LeadSquared and not posted again",
    "absent": "not found, so posted",
    "again": "shared again in the same activity",
    "foreign": "found with another owner",
}
"""What looking up an unknown row may lead to."""

ORDER: Final = tuple(sorted(State, key=lambda state: state is not State.SHARED))
"""States as one line tells them: what was to be reached first."""

_WISHES: Final = {
    "send": "send them",
    "try again": "try them again",
    "revoke": "revoke these shares",
}
"""What `--yes` agrees to where nobody can be asked."""

AGAIN: Final = "--renew 3d shares again what ends within 3 days, --force everything."
"""How rows are sent all the same that earlier runs have shared."""

SETTLED: Final = (
    State.SHARED,
    State.ENDED,
    State.ACCEPTED,
    State.FAILED,
    State.UNKNOWN,
    State.INVALID,
    State.SKIPPED,
    State.TO_REVOKE,
    State.ENDING,
    State.REVOKED,
)
"""States of rows that a run does not send, as the plan tells them."""


def spell_cost(cost: Cost) -> str:
    """What a run costs, in the same words before a plan and before a run."""
    follow_up = "with" if cost.follow_up else "without"
    calls = f"{plural(cost.calls, 'call')} ({follow_up} the follow-up)"
    in_bulk = f", in bulk at {cost.bulk_rate}" if cost.bulk_rate else ""
    return f"{calls}, about {lasting(cost.seconds)} at {cost.rate}{in_bulk}"


def console(*, stderr: bool = False, file: IO[str] | None = None) -> Console:
    """A console for text. In a file or a pipe nothing is cut or broken, unless COLUMNS says how wide that is."""
    made = Console(stderr=stderr, file=file, highlight=False)
    if not made.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        made.width = UNBROKEN
    return made


def say(
    out: Console,
    words: str,
    style: str = "",
    *,
    head: str = "",
    indent: int = 0,
    hang: int = 0,
    most: int | None = None,
    end: str = "\n",
) -> None:
    """Say it after a `head` in bold, on at most so many lines, broken between words.

    They begin after `indent` blanks, all but the first after `hang` more. What stands between backquotes, or
    quotation marks, is to be typed, so it is not broken: it has a line of its own if it is long.
    """
    indent += len(words) - len(words.lstrip())
    margin = " " * indent
    typed = re.sub(r'`[^`]*`|"[^"]{1,60}"', lambda typed: typed[0].replace(" ", "\0"), f"{head} {words}".strip())
    broken = textwrap.fill(
        typed,
        width=out.width,
        initial_indent=margin,
        subsequent_indent=margin + " " * hang,
        break_long_words=False,
        break_on_hyphens=False,
        max_lines=most,
        placeholder=" …",
    )
    text = Text(broken.replace("\0", " "), "" if head else style)
    text.stylize(f"bold {style}", 0, indent + len(head))
    out.print(text, soft_wrap=True, end=end)


def say_step(out: Console, step: Step, head: str = "Next:") -> None:
    """Say what to do next; its command has a line of its own, to be copied."""
    say(out, f"{step.words}{':' if step.command else ''}", head=head)
    if step.command:
        out.print(Text(f"  {step.command}"), soft_wrap=True)


@dataclass(slots=True)
class Display:
    """A console for people. `yes` agrees to every plan; without a terminal it is needed above `ask_above` rows.

    `json` leaves standard output to its object; `one_line` shows nothing but errors, and the totals in one line.
    Without `asks` nobody is asked, even on a terminal. What was `typed` is to be typed with the next command, too.
    """

    yes: bool = False
    json: bool = False
    ask_above: int = ASK_ABOVE
    one_line: bool = False
    asks: bool = True
    typed: Sequence[str] = ()
    console: Console = field(default_factory=lambda: console(stderr=True))

    # ------------------------------------------------------------------------------------------ the plan

    def foresee(self, outlook: Outlook) -> None:
        """Say what is wrong in the sheet, and how long the look-ups take that come now."""
        if self.one_line:
            return
        wrong = f", {outlook.wrong:,} can't be sent:" if outlook.wrong else ""
        say(self.console, f"{plural(outlook.rows, 'row')}{wrong}", head=f"{outlook.sheet}:")
        for each in outlook.mistakes[:MISTAKES_FORESEEN]:
            self._tell(spell_alike(each, outlook.rows), STYLES[State.INVALID])
        if (more := len(outlook.mistakes) - MISTAKES_FORESEEN) > 0:
            self._tell(f"… and {plural(more, 'more reason')}", STYLES[State.INVALID])
        if outlook.kept:
            self._tell(f"{spell_recalled(outlook.kept, outlook.people)}.")
        calls = f"{outlook.least:,} to {outlook.most:,} calls" if outlook.least < outlook.most else ""
        calls = calls or plural(outlook.most, "call")
        self._tell(f"Looking up {outlook.people:,} leads and users: {calls}, at most {lasting(outlook.seconds)}.")
        if ways := spell_by_number(*outlook.by_number):
            self._tell(f"{ways}.")

    def agree(self, preview: Preview) -> bool:
        """Show the plan in short, and ask on a terminal, unless `--yes` answers. Without one it is needed above 50.

        It does not answer for more earlier shares being revoked than the settings allow. Where nobody can be asked
        it raises TooManyRevokes for those, and NotConfirmed for that many rows.
        """
        if not self.one_line:
            self._show(preview)
        intent = spell_intent(preview, utc_now())
        asks = preview.changes_made and self._may_ask and not (self.yes and preview.may_revoke)
        # Whoever is asked sees them even where only one line is wanted.
        for odd in (preview.plan or {}).get("oddities", ())[:REASONS_SHOWN] if asks or not self.one_line else ():
            say(self.console, odd, "yellow", head="Check:", most=LINES)
        if asks:
            return self._ask(question_of(preview), intent)
        preview.check_revokes()
        if intent and not self.one_line:
            say(self.console, intent)
        if self.yes or preview.changes_made <= self.ask_above:
            return True
        # Of a row that was renewed two shares may stand, and each is revoked.
        each = "share" if preview.deed == "revoke" else "row"
        rows = f"{plural(preview.changes_made, each)} to {preview.deed}"
        many = f", more than {self.ask_above}," if self.ask_above else ""
        done = "revoked" if preview.deed == "revoke" else "sent"
        raise NotConfirmed(
            f"Nothing was {done}: {rows}{many} and nobody to ask. Add --yes to {_WISHES[preview.deed]}."
        )

    def is_sure(self, doubt: Doubt) -> bool:
        """Ask about a doubt, whatever `--yes` says; False where there is nobody to ask."""
        if not self._may_ask:
            return False
        for line in doubt.reported:
            say(self.console, line)
        return self._ask(doubt.question)

    @property
    def _may_ask(self) -> bool:
        """Whether somebody sees the question and can answer."""
        return self.asks and self.console.is_terminal and sys.stdin is not None and sys.stdin.isatty()

    def _ask(self, question: str, reported: str = "") -> bool:
        say(self.console, f"{reported} {question} (y/N)".strip(), end=" ")
        with _interruptible():
            try:
                answer = self.console.input()
            except EOFError:  # Ctrl-D
                self.console.print()
                return False
        return answer.strip().lower() in {"y", "yes"}

    def _tell(self, line: str, style: str = "", indent: int = 2) -> None:
        """One of the lines below the sheet's name."""
        say(self.console, line, style, indent=indent, most=LINES)

    def _show(self, preview: Preview) -> None:
        sheet, states = preview.sheet, preview.states
        of = f", worksheet {sheet.worksheet}" if sheet.worksheet else ""
        total = sum(states.values())
        host = f"{preview.settings.account} ({preview.host})" if preview.settings.account else preview.host
        say(self.console, f"{plural(total, 'row')} → {host}", head=f"{sheet.name}{of}:")
        for note in preview.notes:
            self._tell(note)
        if not preview.is_verified:
            self._tell("This account was never tried: `batch-share verify LEAD USER` finds out.")
        # Nothing is said of a sheet all of whose rows are as they were, whatever else is not.
        if preview.changes is not None and preview.changes.new and total > preview.changes.new:
            changes = preview.changes
            known = f"{changes.kept:,} of {plural(changes.new + changes.kept, 'row')} are as they were"
            style = "yellow" if changes.occasion is Occasion.SHEET else ""
            self._tell(f"{CHANGED[changes.occasion]}: {known}.", style)
        if preview.changes is not None and preview.changes.recalled:
            self._tell(f"{spell_recalled(preview.changes.recalled, preview.changes.looked_up)}.")
        if preview.earlier:
            self._tell(f"{plural(preview.earlier, 'row')} from earlier sheets: what was sent for them stays.")
        if preview.cut_off:
            calls = f"{plural(preview.cut_off, 'call')} under way when an earlier run was cut off"
            self._tell(f"{calls}: looked up before anything is sent for them again.", "yellow")
        settled = [f"{states[state]:,} {state}" for state in SETTLED if states.get(state)]
        if settled and preview.deed == "send":
            self._tell(f"Not to be sent: {', '.join(settled)}.")
            # A lead that two rows share with one user is shared all the same: that is told with the results.
            others = [each for each in preview.skipped if each.cause is not Cause.REPEAT]
            repeats = sum(each.rows for each in preview.skipped) - sum(each.rows for each in others)
            for line in why_skipped(states.get(State.SKIPPED, 0) - repeats, others[:REASONS_SHOWN]):
                self._tell(f"Skipped: {line}", STYLES[State.SKIPPED], 4)
            if any(each.cause is Cause.ALREADY_SHARED for each in preview.skipped):
                self._tell(AGAIN, STYLES[State.SKIPPED], 4)
        if preview.left_out:
            rows = plural(preview.left_out, "row")
            self._tell(f"{rows} posted before and left out now: a run of the whole sheet shares them.", "yellow")
        if preview.to_send or preview.deed == "send":
            self._tell(self._estimate(preview))
        for line in preview.reported:
            say(self.console, line, indent=4)
        if preview.waiting.rows:
            self._tell(spell_waiting(preview.waiting, preview.zone), "cyan")

    def _estimate(self, preview: Preview) -> str:
        cost = spell_cost(preview.cost)
        if preview.to_send:
            each = "share" if preview.deed == "revoke" else "row"
            return f"{plural(preview.to_send, each)} to {preview.deed}: {cost}."
        if preview.revocations:
            return f"Nothing to send, only shares to revoke: {cost}."
        unknown = preview.states.get(State.UNKNOWN)
        return "Nothing else is left to send." if unknown else "Nothing left to send."

    def wait_turn(self, holder: Holder) -> None:
        """Say why nothing happens yet."""
        if self.one_line:
            return
        other = f"Another batch_share{spell_holder(holder)}{'' if holder.host else ' on this machine'}"
        shared = "is using this account, and both share its limit: waiting for it to end. Ctrl-C stops waiting."
        say(self.console, f"{other} {shared}", "yellow")

    # ------------------------------------------------------------------------------------------ progress

    def watch(
        self,
        progress: Callable[[], Progress],
        stop: Callable[[], None],  # noqa: ARG002 - nobody stops it here
    ) -> AbstractAsyncContextManager[None]:
        """Show progress until the work is over; in one line, nothing but a long wait."""
        from batch_share.cli.progress import shown

        return shown(progress, self.console, waits_only=self.one_line, as_json=self.json)

    # ------------------------------------------------------------------------------------------ the end

    def end(self, ending: Ending, asked: Asked | None = None) -> None:
        """Say how it ended and where everything is; as JSON if that was asked for, with what was `asked`."""
        steps = steps_after(ending.command, ending.summary, ending.became, near)
        if ending.error is not None:
            say(self.console, str(ending.error), "red", head="Stopped:")
        elif ending.interrupted:
            then = "Everything that was sent is in the ledger"
            then += "." if steps else "; run the same command again to resume."
            say(self.console, then, "yellow", head="Interrupted.")
        if ending.error is not None and asked is not None and (self.json or self.one_line):
            # The answer to a script: the totals with the error, or one line.
            code, summary, short = ending.exit_code, ending.summary, in_short(ending.error, ending.sent)
            if self.json:
                line = json.dumps(
                    summary.as_json() | _of_preview(ending) | asked.stopped(ending.error, code, ending.sent)
                )
            elif summary.rows:
                line = one_line(summary, code, f"{short}; ")
            else:
                line = asked.line(ending.error, code, ending.sent)
            print(line)  # noqa: T201 - the one thing on standard output
            return
        if self.one_line and not self.json:
            self.line(ending.summary, ending.exit_code)
            return
        if ending.revoked_earlier:
            was = "was" if ending.revoked_earlier == 1 else "were"
            say(self.console, f"{plural(ending.revoked_earlier, 'earlier share')} {was} revoked.")
        if ending.looked_up:
            counts = ending.looked_up
            settled = [f"{counts[outcome]} {words}" for outcome, words in LOOKED_UP.items() if counts.get(outcome)]
            say(self.console, f"Unknown calls settled: {', '.join(settled)}.")
        for remark in ending.remarks:
            say(self.console, f"{remark}.", most=LINES)
        if self.json:
            print(json.dumps(ending.summary.as_json() | _of_preview(ending)))  # noqa: T201 - what was asked for
        else:
            self._answer(ending, steps)

    def _answer(self, ending: Ending, steps: Sequence[Step]) -> None:
        """What came of what was asked for, why not all of it, what to do next, and the files.

        `status` has the rest. An error that ended it was told before, and says itself what to do next.
        """
        out, summary, audited, more = console(), ending.summary, ending.command == "status --audit", 0
        audit = spell_audit(summary, near) if audited or (ending.sent and ending.command != "revoke") else []
        if not audited:
            said = answer(ending.command, summary, ending.became, is_stopped=ending.error is not None)
            if said:
                say(out, said)
            if ending.command == "revoke" and {*ending.became} == {State.REVOKED}:
                say(out, TO_SHARE_AGAIN)
        elif not audit:
            say(out, "Nothing to audit: no activity was ever posted.")
        for line in audit:
            say(out, line.words, most=LINES)
        if not (audited or ending.error or ending.interrupted):
            kinds = troubles_of(ending.command, summary, ending.became)
            say_reasons(out, kinds[:REASONS_SHOWN], summary.rows)
            more = len(kinds) - REASONS_SHOWN
            for each in summary.unchecked:
                say(out, f"{spell_unchecked(each)}.", head="Not checked:", most=LINES)
        # What the audit waits for is said above: what is to be done with rows comes first, as in `status`.
        is_about_rows = steps and (not audited or summary.states.get(State.UNKNOWN))
        steps = steps if is_about_rows else [each for each in audit if each.command][:1] or steps
        for step in steps if ending.error is None else ():
            say_step(out, step.with_typed(self.typed))
        if summary.results:
            results = f"Results, with {plural(more, 'more reason')}:" if more > 0 else "Results:"
            say(out, near(summary.results), head=results)
        else:
            say(out, _where(summary.ledger), head="Ledger:")

    def cut(self, asked: Asked | None = None) -> None:
        """Say that a second Ctrl-C cut it off."""
        say(
            self.console,
            "A call that was under way is in the ledger: run the same command again, and it is looked up before "
            "anything is sent for it.",
            "yellow",
            head="Cut.",
        )
        if asked is not None and (self.json or self.one_line):
            code = ExitCode.INTERRUPTED
            line = f"{asked.name}: {CUT} (exit {code:d})"
            print(json.dumps(asked.cut(code)) if self.json else line)  # noqa: T201

    def at_rest(self, summary: Summary) -> None:
        """There is nothing to do, whatever became of the rows before."""
        if self.json and not self.one_line:
            self.totals(summary)
        else:
            self.line(summary, ExitCode.DONE, "nothing to do: ")

    def line(self, summary: Summary, code: int, first: str = "") -> None:
        """The totals in one line, or as JSON if that was asked for too."""
        print(json.dumps(summary.as_json()) if self.json else one_line(summary, code, first))  # noqa: T201

    def totals(self, summary: Summary) -> None:
        """The totals, as a table or as JSON."""
        if self.json:
            print(json.dumps(summary.as_json()))  # noqa: T201 - the one thing on standard output
            return
        out = console()
        table = Table(title=headline(summary.states), title_justify="left", show_edge=False, pad_edge=False)
        table.add_column("state")
        table.add_column("rows", justify="right")
        table.add_column("meaning")
        for state in State:
            if count := summary.states.get(state):
                table.add_row(Text(str(state), style=STYLES.get(state, "")), f"{count:,}", MEANING[state])
        if summary.rows:
            out.print(table)
        else:
            say(out, "The ledger has no rows yet.")
        for source, rows in summary.corrected.items():
            say(out, f"{spell_corrected(source, rows)}.")
        if summary.earlier:
            say(out, f"Apart from these, {spell_earlier(summary.earlier)}.")
        say_reasons(out, summary.troubles[:TROUBLES_SHOWN], summary.rows)
        if (more := len(summary.troubles) - TROUBLES_SHOWN) > 0:
            say(out, f"… and {plural(more, 'more reason')} in the results.")
        for line in why_skipped(summary.states.get(State.SKIPPED, 0), summary.skipped):
            say(out, line, STYLES[State.SKIPPED], head="Skipped:")
        for each in summary.unchecked:
            say(out, f"{spell_unchecked(each)}.", head="Not checked:")
        audit = spell_audit(summary, near)
        for found in audit:
            say(out, found.words)
        for step in steps_after("status", summary, {}, near) or [each for each in audit if each.command][:1]:
            say_step(out, step.with_typed(self.typed))
        stopped = summary.ended if end_in_short(summary.ended) == STOPPED != summary.ended else ""
        results = near(summary.results) if summary.results else ""
        places = {"Ledger:": _where(summary.ledger), "Run Id:": summary.run, "Results:": results}
        for head, words in {"The last run was stopped:": stopped, **places}.items():
            if words:
                say(out, words, head=head)


def _of_preview(ending: Ending) -> dict[str, Any]:
    """What it was about to do, where a sheet was to be sent: the object that `plan --json` prints."""
    plan = ending.preview.plan if ending.preview is not None else None
    return {"preview": plan} if plan is not None else {}


def one_line(summary: Summary, code: int, first: str = "") -> str:
    """The totals for a mail or a log: `leads.csv: 97 shared, 2 failed (exit 3); ledger leads.csv.ledger.db`."""
    counts = Counter(summary.states)
    counts[State.PENDING] -= summary.waiting.rows
    reported = [f"{counts[state]:,} {state}" for state in ORDER if counts[state]]
    if summary.waiting.rows:
        until = f" until {spell_time(summary.waiting.first)} or later" if summary.waiting.first else ""
        reported.append(f"{summary.waiting.rows:,} waiting{until}")
    troubled: dict[State, int] = {state: rows for state, rows in summary.earlier.items() if not state.is_at_rest}
    reported += [spell_earlier(troubled)] if troubled else []
    return (
        f"{summary.sheet or 'no sheet'}: {first}{', '.join(reported) or 'no row'} (exit {code:d}); "
        f"ledger {_where(summary.ledger)}"
    )


def _where(ledger: LedgerName) -> str:
    """Where a ledger is: a file as from here, one in a store with the store."""
    return str(ledger) if ledger.in_store else near(Path(str(ledger)))


def near(file: Path) -> str:
    """A file as it is called from here, or in full if it is elsewhere."""
    here = Path.cwd()
    named = str(file.relative_to(here)) if file.is_relative_to(here) else str(file)
    return f"./{named}" if named.startswith("-") else named


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a question: the event loop's own handler would only be heard after the answer."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def say_reasons(out: Console, kinds: Sequence[Alike], rows: int, indent: int = 0) -> None:
    """Reasons for which some of so many rows need a person; as many as an answer shows have a line each."""
    for each in kinds:
        most = 1 if len(kinds) == REASONS_SHOWN else LINES
        say(out, spell_alike(each, rows), STYLES.get(each.row.state, ""), indent=indent, most=most)


def why_skipped(rows: int, reasons: Sequence[Alike]) -> list[str]:
    """The reasons for which this many rows are skipped, the most frequent ones."""
    lines = [spell_alike(each) for each in reasons]
    more = rows - sum(each.rows for each in reasons)
    return [*lines, f"… and {plural(more, 'more row')} in the results."] if reasons and more > 0 else lines
