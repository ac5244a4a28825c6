"""The `plan` command: what a run would do, on the screen, as JSON, as a sheet, and as a file to hold a run to."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from batch_share.cli.screen import AGAIN, STYLES, console, spell_activities, spell_cost
from batch_share.common import plural, spell_rows, spell_time
from batch_share.ledger.states import State
from batch_share.results.wording import ExitCode, lasting, spell_alike, spell_guards, spell_recalled

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from rich.console import Console

    from batch_share.planning.overview import Overview

SHOWN = 20
REPEATS_SHOWN = 5
USERS_SHOWN = 10

ZONE_UNKNOWN = (
    "Times are read as UTC here; a run reads them in the account's time zone: see --online and --timezone."
)

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


def show_plan(seen: Overview, *, online: bool, json: bool) -> ExitCode:
    """Show a plan; SOME_FAILED if some rows can't be sent, or if none would be."""
    if json:
        print(json_module.dumps(seen.as_json()))  # noqa: T201 - the one thing on standard output
    else:
        _print(console(), seen, online=online)
    return ExitCode.SOME_FAILED if seen.invalid or seen.would_stop else ExitCode.DONE


def _print(out: Console, seen: Overview, *, online: bool) -> None:
    record = seen.record
    out.print(f"[bold]{escape(record.name)}[/bold]: {plural(seen.rows, 'row')}", soft_wrap=True)
    for note in seen.notes:
        out.print(f"  {escape(note)}", soft_wrap=True)
    out.print(_what(seen, online=online))
    _print_problems(out, seen)
    _print_sending(out, seen)
    if guards := spell_guards(seen.settings):
        out.print(f"Guards: {guards}.", soft_wrap=True)
    for why in seen.would_stop:
        out.print(f"[red]Would stop:[/red] {escape(why)}.", soft_wrap=True)
    read = (header if header == name else f"{header} → {name}" for header, name in (record.mapping or {}).items())
    out.print(f"Columns read: {escape(', '.join(read))}", soft_wrap=True)
    if seen.ignored:
        out.print(f"Columns kept but not read: {escape(', '.join(seen.ignored))}", soft_wrap=True)
    for odd in seen.oddities():
        out.print(f"[yellow]Check:[/yellow] {escape(odd)}", soft_wrap=True)
    if seen.already:
        out.print(AGAIN, soft_wrap=True, markup=False)
    for remark in seen.live.remarks:
        out.print(f"[yellow]{escape(remark)}.[/yellow]", soft_wrap=True)
    asked = "Nothing was sent."
    if not seen.is_asked:
        why = "nothing can be sent as it is" if online else "--online does that"
        asked = f"Nothing was sent, and nobody was looked up ({why})."
    out.print(asked)


def _print_sending(out: Console, seen: Overview) -> None:
    if seen.to_send:
        out.print(_who(seen))
        out.print(f"Access: {_spread(seen.access)}. Lasting: {_spread(seen.lasting)}.", soft_wrap=True)
        types = [(code, seen.directory.type_name(code)) for code in sorted(seen.events)]
        meant = f" {CODE_UNKNOWN}" if min(seen.events, default=0) < 0 else ""
        if types:  # else all rows wait for their time
            posted = spell_activities(types)
            out.print(f"{posted[:1].upper()}{posted[1:]}.{meant}", soft_wrap=True, markup=False)
    if seen.plan.needs_zone:
        out.print(f"[yellow]{ZONE_UNKNOWN}[/yellow]", soft_wrap=True)
    if seen.to_send + seen.claiming:
        out.print(_cost(seen), soft_wrap=True)
        least, most = seen.look_ups
        if kept := seen.recalled:
            out.print(f"{spell_recalled(kept, seen.directory.asked)}.", soft_wrap=True)
        if most:
            more = f", up to {most:,} where the account has no look-up of many at once" if most > least else ""
            out.print(f"People are looked up first: {plural(least, 'call')}{more}.", soft_wrap=True)
    elif seen.sent_before and State.UNKNOWN not in seen.sent_before:
        out.print("Nothing left to send.")


def _what(seen: Overview, *, online: bool) -> Table:
    """What becomes of the rows. The numbers add up to all of them: what is said `of them` has none of its own."""
    table = Table(show_edge=False, pad_edge=False, show_header=False)
    parts, again, posted, waiting = seen.parts, seen.reassigning, seen.states[State.POSTED], seen.waiting.rows
    first = spell_time(seen.waiting.first, seen.zone) if seen.waiting.first else "nobody knows when"
    wait = "waits for its" if waiting == 1 else "wait for their"
    of_sent = (
        (posted, f"{posted:,} of them posted already: only the share is left"),
        (waiting, f"{waiting:,} of them {wait} start, the first until {first}"),
        (len(again), f"{len(again):,} of them revoked from others first: {_named(again)}"),
    )
    before = [(state, seen.sent_before[state]) for state in _BEFORE if state in seen.sent_before]
    reported = (
        (
            State.PENDING,
            parts["to_send"],
            "to be sent" if online else "to be sent, if the leads and users are found",
        ),
        *((None, 0, said) for count, said in of_sent if count),
        (State.REVOKED, parts["revoking"], f"only revoked: {_named(seen.revoking)}"),
        *((None, 0, said) for said in [f"to be revoked: {_earlier(seen)}"] if seen.claiming),
        (State.INVALID, parts["invalid"], "can't be sent: see below"),
        (State.SKIPPED, parts["repeats"], "the same as an earlier row, so not sent: see below"),
        (State.SKIPPED, parts["held"], "under way in another job, so not sent: see below"),
        (State.SKIPPED, parts["already_shared"], "already shared with their user by earlier runs"),
        *((state, count, f"sent before, {state}: {_BEFORE[state]}") for state, count in before),
        (State.SKIPPED, parts["left_out"], f"left out by {seen.plan.selection}"),
    )
    for state, count, meaning in reported:
        if count or state is None:
            table.add_row(f"{count:,}" if count else "", meaning, style=STYLES.get(state, "") if state else "")
    return table


def _named(numbers: Sequence[int]) -> str:
    return spell_rows(numbers, len(numbers)) if numbers else ""


def _earlier(seen: Overview) -> str:
    shares = f"{plural(seen.earlier, 'share')} known to this machine's ledgers"
    if not seen.unasked:
        return shares
    if seen.unasked == seen.claiming:
        return "only --online tells which shares"
    return f"{shares}, and those of {plural(seen.unasked, 'row')} that only --online can tell"


def _print_problems(out: Console, seen: Overview) -> None:
    """Why rows can't be sent, and which are the same as others: each reason once."""
    reasons = seen.reasons.most()
    for state, most in ((State.INVALID, SHOWN), (State.SKIPPED, REPEATS_SHOWN)):
        found = [each for each in reasons if each.row.state is state]
        for each in found[:most]:
            out.print(f"  {escape(spell_alike(each, seen.rows))}", style=STYLES[state], soft_wrap=True)
        if (more := len(found) - most) > 0:
            there = f"  … and {plural(more, 'more reason')}: --output plan.xlsx has them all"
            out.print(there, style=STYLES[state], soft_wrap=True)


def _who(seen: Overview) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("user")
    table.add_column("leads", justify="right")
    users = seen.users.most_common()
    for user, count in users[:USERS_SHOWN]:
        table.add_row(escape(user), f"{count:,}")
    if rest := users[USERS_SHOWN:]:
        leads = sum(count for _, count in rest)
        table.add_row(f"… and {plural(len(rest), 'more user')}", f"{leads:,}", style="dim")
    return table


def _spread(counts: Counter[str]) -> str:
    shown = [f"{name} ({count:,})" for name, count in counts.most_common(5)]
    return ", ".join(shown) + (f" and {plural(len(counts) - 5, 'other')}" if len(counts) > 5 else "")


def _cost(seen: Overview) -> str:
    cost, other = spell_cost(seen.cost), lasting(seen.other_cost.seconds)
    if other != lasting(seen.cost.seconds):  # what it takes in bulk, if it is one by one, and the other way round
        how = "one by one" if seen.settings.bulk else f"with --bulk, at {seen.other_cost.bulk_rate},"
        cost += f" ({how} about {other})"
    if seen.share_of_day is None:
        return f"{cost}."
    made = f" ({seen.calls_today:,} were made today)" if seen.calls_today else ""
    allowance = f"{cost}, {seen.share_of_day:.0%} of the {seen.settings.daily_limit:,} calls a day{made}"
    if not seen.days:
        return f"{allowance}."
    return f"{allowance}: run it again each day, and it ends on {seen.ends_on:%A, %d %B %Y}."
