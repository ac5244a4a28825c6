"""The `plan` command: what a run would do, on the screen, as JSON, as a sheet, and as a file to hold a run to."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING

from batch_share.cli.screen import (
    AGAIN,
    LINES,
    REASONS_SHOWN,
    console,
    near,
    say,
    say_reasons,
    say_step,
    spell_activities,
    spell_cost,
)
from batch_share.common import plural, spell_rows, spell_time
from batch_share.ledger.states import State
from batch_share.results.wording import ExitCode, Step, lasting, spell_by_number, spell_guards, spell_recalled

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from batch_share.planning.overview import Overview

USERS_SHOWN = 2

ZONE_UNKNOWN = "Times are read as UTC here, by a run as --timezone or the account says."

CODE_UNKNOWN = "Its code is looked up with --online, or by the run."

_NOTHING = "nothing more is sent"
_BEFORE = {
    State.UNKNOWN: "looked up before anything is sent again",
    State.ACCEPTED: "checked, and nothing more is sent",
    State.SHARED: _NOTHING,
    State.ENDED: "--renew 1d shares them again",
    State.FAILED: "`batch-share retry` sends them again",
    State.TO_REVOKE: _NOTHING,
    State.ENDING: _NOTHING,
    State.REVOKED: _NOTHING,
}
"""What a run does about rows that were sent before, by their state."""


def show_plan(seen: Overview, *, online: bool, json: bool, files: Sequence[Path] = (), then: str = "") -> ExitCode:
    """Show a plan; SOME_FAILED if some rows can't be sent, or if none would be.

    The `files` were written of it; `then` is the command that runs it; without one it is run at once.
    """
    if json:
        print(json_module.dumps(seen.as_json()))  # noqa: T201 - the one thing on standard output
    else:
        _print(console(), seen, online=online, files=files, then=then)
    return ExitCode.SOME_FAILED if seen.invalid or seen.would_stop else ExitCode.DONE


def _print(out: Console, seen: Overview, *, online: bool, files: Sequence[Path], then: str) -> None:
    record = seen.record
    say(out, f"{plural(seen.rows, 'row')}: {'; '.join(spell_parts(seen))}.", head=f"{record.name}:")
    for note in seen.notes:
        say(out, note, indent=2)
    reasons = seen.reasons.most()
    wrong = [each for each in reasons if each.row.state is State.INVALID]
    found = [*wrong, *(each for each in reasons if each.row.state is State.SKIPPED)]
    say_reasons(out, found[:REASONS_SHOWN], seen.rows, indent=2)
    if (more := len(found) - REASONS_SHOWN) > 0:
        where = "--output plan.xlsx" if then else "`batch-share plan SHEET --output plan.xlsx`"
        say(out, f"… and {plural(more, 'more reason')}: {where} has them all", indent=2)
    _print_sending(out, seen)
    guards = spell_guards(seen.settings)
    if guards and guards != spell_guards(type(seen.settings).model_construct()):
        say(out, f"{guards}.", head="Guards:")
    for why in seen.would_stop:
        say(out, f"{why}.", "red", head="Would stop:")
    read = [f"{header} → {name}" for header, name in (record.mapping or {}).items() if header != name]
    kept = [f"kept but not read: {', '.join(seen.ignored)}"] if seen.ignored else []
    if columns := [*([", ".join(read)] if read else []), *kept]:
        say(out, "; ".join(columns), head="Columns:", most=LINES)
    for odd in seen.oddities()[:REASONS_SHOWN]:
        option = seen.checks.get(odd)
        say(out, f"{odd}: {option}" if option else odd, "yellow", head="Check:", most=LINES)
    if seen.already:
        say(out, AGAIN)
    for remark in seen.live.remarks:
        say(out, f"{remark}.", "yellow")
    if files:
        say(out, ", ".join(map(near, files)), head="Written:")
    if not then:
        return
    asked = "Nothing was sent."
    if not seen.is_asked:
        why = "nothing can be sent as it is" if online else "--online does that"
        asked = f"Nothing was sent, and nobody was looked up ({why})."
    goes = bool(seen.to_send + seen.claiming and not seen.would_stop)
    say_step(out, Step(f"{asked} To send it", f"{then} {seen.mapping}".rstrip()) if goes else Step(asked), head="")


def _print_sending(out: Console, seen: Overview) -> None:
    if seen.to_send:
        users, types = seen.users.most_common(USERS_SHOWN), sorted(seen.events)
        more = f" and {plural(len(seen.users) - len(users), 'other')}" if len(seen.users) > len(users) else ""
        posted = spell_activities([(code, seen.directory.type_name(code)) for code in types]) if types else ""
        meant = f" {CODE_UNKNOWN}" if min(seen.events, default=0) < 0 else ""
        say(
            out,
            f"To {', '.join(f'{user} ({count:,})' for user, count in users)}{more}. "
            f"Access: {_spread(seen.access)}. Lasting: {_spread(seen.lasting)}."
            # without a type if all rows wait for their time
            f" {posted[:1].upper()}{posted[1:]}{'.' if posted else ''}{meant}".rstrip(),
        )
    if seen.plan.needs_zone:
        say(out, ZONE_UNKNOWN, "yellow")
    if seen.to_send + seen.claiming:
        least, most = seen.look_ups
        many = f"{least:,} to {most:,} calls" if most > least else plural(most, "call")
        looks = f" Looking people up first: {many}." if most else ""
        ways = spell_by_number(*seen.by_number)
        looks += f" {ways}." if ways else ""
        known = f" {spell_recalled(seen.recalled, seen.directory.asked)}." if seen.recalled else ""
        say(out, f"{_cost(seen)}{known}{looks}")
    elif seen.sent_before and State.UNKNOWN not in seen.sent_before:
        say(out, "Nothing left to send.")


def spell_parts(seen: Overview) -> list[str]:
    """What becomes of the rows. The numbers add up to all of them: what is said in brackets has none of its own."""
    parts, again, posted, waiting = seen.parts, seen.reassigning, seen.states[State.POSTED], seen.waiting.rows
    first = spell_time(seen.waiting.first, seen.zone) if seen.waiting.first else "nobody knows when"
    wait = "waits for its" if waiting == 1 else "wait for their"
    of_sent = (
        (posted, f"{posted:,} of them posted already: only the share is left"),
        (waiting, f"{waiting:,} of them {wait} start, the first until {first}"),
        (len(again), f"{len(again):,} of them revoked from others first: {_named(again)}"),
    )
    details = [said for count, said in of_sent if count]
    before = [(state, seen.sent_before[state]) for state in _BEFORE if state in seen.sent_before]
    reported = (
        (parts["to_send"], "to be sent" + (f" ({', '.join(details)})" if details else "")),
        (parts["revoking"], f"only revoked: {_named(seen.revoking)}"),
        (parts["invalid"], "can't be sent"),
        (parts["repeats"], "the same as an earlier row, so not sent"),
        (parts["held"], "under way in another job, so not sent"),
        (parts["already_shared"], "already shared with their user by earlier runs"),
        *((count, f"sent before, {state}: {_BEFORE[state]}") for state, count in before),
        (parts["left_out"], f"left out by {seen.plan.selection}"),
    )
    said = [f"{count:,} {meaning}" for count, meaning in reported if count]
    return [*said, *([f"to be revoked: {_earlier(seen)}"] if seen.claiming else [])]


def _named(numbers: Sequence[int]) -> str:
    return spell_rows(numbers, len(numbers)) if numbers else ""


def _earlier(seen: Overview) -> str:
    shares = f"{plural(seen.earlier, 'share')} known to this machine's ledgers"
    if not seen.unasked:
        return shares
    if seen.unasked == seen.claiming:
        return "only --online tells which shares"
    return f"{shares}, and those of {plural(seen.unasked, 'row')} that only --online can tell"


def _spread(counts: Counter[str]) -> str:
    shown = [f"{name} ({count:,})" for name, count in counts.most_common(5)]
    return ", ".join(shown) + (f" and {plural(len(counts) - 5, 'other')}" if len(counts) > 5 else "")


def _cost(seen: Overview) -> str:
    cost, other = spell_cost(seen.cost), lasting(seen.other_cost.seconds)
    if other != lasting(seen.cost.seconds):  # what it takes in bulk, if it is one by one, and the other way round
        how = "one by one" if seen.settings.bulk else "with --bulk"
        cost += f" ({how} about {other})"
    if seen.share_of_day is None:
        return f"{cost}."
    made = f" ({seen.calls_today:,} were made today)" if seen.calls_today else ""
    allowance = f"{cost}, {seen.share_of_day:.0%} of the {seen.settings.daily_limit:,} calls a day{made}"
    if not seen.days:
        return f"{allowance}."
    return f"{allowance}: run it again each day, and it ends on {seen.ends_on:%A, %d %B %Y}."
