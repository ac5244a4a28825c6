"""What the totals say in plain words, and what to do about them; the same in the report and in what is notified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batch_share.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping

_TO_BE_SENT: Final = frozenset({State.PENDING, State.POSTING, State.POSTED, State.SHARING})

AT_REST: Final = (State.SHARED, State.SKIPPED, State.REVOKED)
"""The states of rows for which nothing is to be done."""


def next_steps(states: Mapping[State, int], doubles: int, ledger: str, mend: str = "") -> list[str]:
    """What to do next, the most urgent first; nothing where all is well.

    `ledger` as it should be written, `mend` the command that runs the sheet of failed rows, if there is one.
    """
    steps = []
    if sum(states.get(state, 0) for state in _TO_BE_SENT):
        steps.append(f"Rows are still to be sent: batch-share resume {ledger}")
    if states.get(State.UNKNOWN):
        steps.append(f"To settle the unknown rows: batch-share reconcile {ledger}")
    if states.get(State.FAILED) or states.get(State.INVALID):
        steps.append(_mending(states, mend))
    if states.get(State.TO_REVOKE) or states.get(State.REVOKING):
        steps.append(f"Shares are still to be taken back: batch-share revoke {ledger}")
    if states.get(State.ACCEPTED) or states.get(State.ENDING):
        steps.append(f"To ask what became of the accepted requests: batch-share follow-up {ledger}")
    if doubles:
        steps.append("Delete the activities that are there twice; the results say which.")
    return steps


def _mending(states: Mapping[State, int], mend: str) -> str:
    """A row that LeadSquared refused is not sent again by running its sheet."""
    failed, invalid = states.get(State.FAILED), states.get(State.INVALID)
    which = " or ".join(filter(None, ("failed" if failed else "", "are invalid" if invalid else "")))
    said = f"See to the rows that {which}: the results say why."
    if mend:
        return f"{said} Those that can be mended have a sheet of their own: correct them there, then run it: {mend}"
    return said if failed else f"{said} Then run the sheet again."


def at_rest(states: Mapping[State, int]) -> str:
    """Why nothing is to be done, where `next_steps` has nothing: `every row is shared or skipped.`"""
    *others, last = [str(state) for state in AT_REST if states.get(state)] or [""]
    if not last:
        return "no row was taken in."
    return f"every row is {', '.join(others)}{' or ' if others else ''}{last}."


def headline(states: Mapping[State, int]) -> str:
    """The outcome in plain words: `97 of 100 rows are shared.`"""
    total, shared = sum(states.values()), states.get(State.SHARED, 0)
    if not total:
        return "The ledger holds no row yet."
    if shared == total:
        return "The one row is shared." if total == 1 else f"All {total:,} rows are shared."
    return f"{shared:,} of {total:,} {'row is' if total == 1 else 'rows are'} shared."


_SAID: Final = {
    State.FAILED: "failed",
    State.UNKNOWN: "unknown (sent and never answered)",
    State.INVALID: "invalid (never sent)",
    State.SKIPPED: "skipped",
    State.ACCEPTED: "accepted (not yet known to be processed)",
}


def others(states: Mapping[State, int]) -> str:
    """The rows that are not shared, in one line: `2 failed, 1 skipped.` Empty where all are."""
    said = [f"{states[state]:,} {words}" for state, words in _SAID.items() if states.get(state)]
    if left := sum(states.get(state, 0) for state in _TO_BE_SENT):
        said.append(f"{left:,} still to be sent")
    known = {State.SHARED, *_SAID, *_TO_BE_SENT}
    said += [f"{count:,} {state}" for state, count in states.items() if count and state not in known]
    return f"{', '.join(said)}." if said else ""
