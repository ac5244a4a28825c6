"""What must hold after any crash, read from the sandbox's own log and held against the ledger."""

from __future__ import annotations

import csv
from collections import Counter
from typing import TYPE_CHECKING

from trial import BULK, CREATE, REVOKE, SHARE

from batch_share.ledger.states import State
from batch_share.sending.steps import markers_in

if TYPE_CHECKING:
    from trial import Trial

STEPS = {CREATE: "activity", BULK: "activity", SHARE: "share", REVOKE: "revoke"}


def check_never_twice(it: Trial) -> None:
    """At any time, also just after a crash: no row has two activities, and no effect was without an intent."""
    markers = Counter(marker for activity in it.sandbox.account.visible() for marker in markers_in(activity.note))
    assert not [marker for marker, count in markers.items() if count > 1], "a row has two activities"
    assert markers.total() == len(it.sandbox.account.activities), "an activity without a marker"
    if it.ledger.is_file() and it.query("SELECT name FROM sqlite_master WHERE name = 'rows'"):
        _check_intents(it)
        _check_states(it)
    else:
        assert not markers, "an activity without an intent"


def _check_intents(it: Trial) -> None:
    done: dict[str, Counter[str]] = {step: Counter() for step in STEPS.values()}
    for endpoint, step in STEPS.items():
        for call in it.sent(endpoint):
            if call["outcome"] == "done":
                made = (call["activity"] or "").split(",")  # of a bulk call, empty where an item was refused
                done[step].update(lead for lead, each in zip(call["lead"].split(","), made, strict=True) if each)
    for step, key in (("activity", "lead_id"), ("share", "lead_number"), ("revoke", "lead_number")):
        steps = f"SELECT {key} FROM rows JOIN attempts ON row_id = rows.id WHERE step = '{step}'"
        noted = Counter(lead for (lead,) in it.query(steps))
        assert not done[step] - noted, f"an {step} was done that was not noted before"


def _check_states(it: Trial) -> None:
    for state, activity, request in it.rows("state", "activity_id", "request_id"):
        assert state in set(State)
        if state in {"accepted", "shared"}:
            served = it.sandbox.account.requests.get(request)
            assert served is not None, "a request Id that the server never gave"
            assert activity in [grant.activity.id for grant in served.grants]


def check_what_stands(it: Trial) -> None:
    """Once all is processed: what is told to be shared is, and what is told to be revoked is not."""
    live = {grant.activity.id for grant in it.sandbox.account.live_shares()}
    for state, activity in it.rows("state", "activity_id"):
        assert state != "shared" or activity in live, "a share that is told to stand does not"
        assert state not in {"ending", "revoked"} or activity not in live, "a share that was revoked stands"


def check_all_shared(it: Trial, rows: list[list[str]]) -> None:
    """At the end: every row shared once, by one activity, and told so under its own cells."""
    check_never_twice(it)
    assert it.query("SELECT state, count(*) FROM rows GROUP BY 1") == [("shared", len(rows))]
    assert len(it.sandbox.account.activities) == len(rows)
    live = it.sandbox.report()["live_shares"]["shares"]
    assert sorted((share["lead"], share["user"]) for share in live) == sorted((row[1], row[2]) for row in rows)
    with (it.folder / "leads.results.csv").open(encoding="utf-8-sig", newline="") as file:
        _, *reported = csv.reader(file)
    assert [row[:6] for row in reported] == rows
    answered = {(row[0], row[6], row[8], row[9]) for row in reported}
    assert answered == set(it.rows("lead_id", "state", "activity_id", "request_id"))


def check_all_revoked(it: Trial, rows: list[list[str]]) -> None:
    """At the end: every row was shared once, by one activity, and its share was revoked and told so."""
    check_never_twice(it)
    assert it.query("SELECT state, count(*) FROM rows GROUP BY 1") == [("revoked", len(rows))]
    assert it.sandbox.report()["live_shares"]["count"] == 0
    assert len(it.sandbox.account.activities) == len(rows)
    assert Counter(call["outcome"] for call in it.sent(SHARE)) == {"done": len(rows)}
    with (it.folder / "leads.results.csv").open(encoding="utf-8-sig", newline="") as file:
        _, *reported = csv.reader(file)
    assert [(row[:6], row[6]) for row in reported] == [(row, "revoked") for row in rows]


def posts(it: Trial) -> int:
    """Calls so far that may do something."""
    return sum(len(it.sent(endpoint)) for endpoint in STEPS)
