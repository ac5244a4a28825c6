"""What goes into a ledger and comes out of it."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from batch_share.common import Action, Cause, Correction, Order
from batch_share.ledger.states import Stage, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


CHOICE_FROM: Final = 40
"""Where in a sheet's digest the part begins that is of the chosen rows."""


@dataclass(frozen=True, slots=True)
class Why:
    """Why a row is where it is, or what else is to be known of it, its notice.

    It is the `cause`, with the `details`, as JSON has them, that its sentence needs.
    """

    cause: Cause
    details: Mapping[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.cause, json.dumps(self.details)))


def why_of(cause: str | None, details: Mapping[str, Any] | None) -> Why | None:
    """Why a row is where it is, as two columns of a ledger hold it."""
    return Why(Cause(cause), details or {}) if cause else None


OLD_WORDS: Final = "told"
"""The detail that holds a whole sentence of an older ledger, which noted no others."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a ledger as a whole: its `job`, its `host`, and what its runs have noted by these names.

    `account` is which of the host's accounts it is of, once LeadSquared has told that of a key: no key is in it.
    `process` worked on it last, and where; `results` is by what the results are known that were written of the rows
    as they are. `canary` are the rows that go first, by Id, until they are judged. `said_columns` says, by header,
    what columns hold that somebody has agreed to share by, though they most often say who has the lead. `unsaid` is
    what somebody was sure of before, headers or `ids`, and then did not agree to the run. No API could tell of so
    many leads and users that are `unanswered`. `unchecked` says, by what could not be checked, for how many rows, 0
    for all alike, and why, in the API's own words. `zone` is the account's time zone; `dates` says, by what a
    column of dates holds, what came first in them when the sheet was last taken in, `words` what words of the
    sheet's own language mean. Since it `recovered`, another copy may have sent what this one does not know of, up
    to the call of the job with the number `calls`. `audit` is what the last audit found. `forced_by` is the number
    of the store's job that last had all shares sent once more.
    """

    job: str
    host: str
    account: str | None = None
    process: str | None = None
    results: str | None = None
    canary: Sequence[int] = field(default_factory=list)
    said_columns: Mapping[str, str] = field(default_factory=dict)
    unsaid: Sequence[str] = field(default_factory=list)
    unanswered: int = 0
    unchecked: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    zone: str | None = None
    audit: Mapping[str, Any] | None = None
    dates: Mapping[str, Order] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    recovered: datetime | None = None
    calls: int = 0
    forced_by: int = 0

    @classmethod
    def of(cls, stored: Mapping[str, str]) -> Facts:
        """By name, as the ledger holds them."""
        known: dict[str, Any] = {name: stored[name] for name in cls.__slots__ if name in stored}
        for name in {*known} - {"job", "host", "account", "process", "results", "canary", "zone", "recovered"}:
            known[name] = json.loads(known[name])
        if "canary" in known:
            known["canary"] = [*map(int, known["canary"].split())]
        if "dates" in known:
            known["dates"] = {column: Order(order) for column, order in known["dates"].items()}
        if "recovered" in known:
            known["recovered"] = datetime.fromisoformat(known["recovered"])
        return cls(**known)

    @staticmethod
    def stored(facts: Mapping[str, Any]) -> dict[str, str]:
        """Some facts by name, as the ledger is to hold them."""
        held = {}
        for name, value in facts.items():
            if name == "canary":
                held[name] = " ".join(map(str, value))
            elif isinstance(value, datetime):
                held[name] = value.isoformat()
            else:
                held[name] = value if isinstance(value, str) else json.dumps(value)
        return held


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a row asks for, in canonical form: share `lead` with `user`, or what else `action` says.

    The share lasts `duration` minutes or `until` (UTC, without a zone); one of them is None. `custom` are custom
    fields of the activity. Nothing is sent for it before `start` (UTC, without a zone; None: at once).
    """

    lead_id: str
    lead_number: str
    user_id: str
    access: int
    duration: int | None
    event: int
    note: str
    until: datetime | None = None
    custom: Mapping[str, str] | None = None
    start: datetime | None = None
    action: Action = Action.SHARE


class Reasoned:
    """A row that is where it is for some reason."""

    __slots__ = ()
    why: Why | None

    @property
    def cause(self) -> Cause | None:
        """Why it is where it is, if there is anything to say of it."""
        return self.why.cause if self.why else None


@dataclass(frozen=True, slots=True)
class NewRow(Reasoned):
    """A row of a sheet on its way into the ledger; `instruction` is None where it is invalid.

    `user_id` is whose row it is where there is no instruction, None where nobody knows.
    One that is not `chosen` is left out of this run, whatever became of it before. `edit` is the key of the Edit
    that its cells are of.
    """

    key: str
    sheet_row: int
    cells: Sequence[str]
    state: State
    instruction: Instruction | None = None
    why: Why | None = None
    chosen: bool = True
    user_id: str | None = None
    edit: str | None = None


class Settled(NamedTuple):
    """A row of which there is nothing to tell but its `state`: it is shared, or was, as the sheet in force says."""

    cells: Sequence[str]
    state: State
    activity_id: str | None
    request_id: str | None
    share_status: int | None
    sheet_row: int


@dataclass(frozen=True, slots=True)
class Edit:
    """How a row of the sheet was corrected elsewhere: by header, the `cells` that it has instead.

    `key` is of what the row says in the sheet, so that it is known again wherever it stands; one that was corrected
    there is another. `source` is the name of the file that it was corrected in, or ON_PAGE; `replaced` are the keys
    that its row in the ledger had before. By header, `was` is what the sheet says itself; None: it was not kept.
    """

    key: str
    cells: Mapping[str, str]
    source: str
    replaced: Sequence[str]
    was: Mapping[str, str] | None = None

    def corrections(self, row: int) -> list[Correction]:
        """Cell by cell, of the row that has this number; what it was is "" where that was not kept."""
        was = self.was or {}
        return [
            Correction(row, column, was.get(column, ""), cell, self.source) for column, cell in self.cells.items()
        ]


@dataclass(frozen=True, slots=True)
class LastCall:
    """A call that was made for a row (UTC, without a zone; `answered_at` None: no answer was recorded).

    `words` are the API's own, `marker` is what its activity can be found by, None where it was sent without one.
    """

    sent_at: datetime
    answered_at: datetime | None
    words: str
    marker: str | None


@dataclass(frozen=True, slots=True)
class Row(Reasoned):
    """A row as the ledger holds it. `notice` is what a person must know whatever becomes of the row.

    `doubtful`: a call that may have been done stands behind its state, and nobody knows. `changed_at` is when it
    entered that (UTC, without a zone), `last_call` the one that was asked for with it, if any. Its share ends at
    `ends_at`; there were so many before it as `renewal` says, the `earlier` ones, each from when until when.
    """

    id: int
    key: str
    sheet_row: int
    cells: Sequence[str]
    state: State
    instruction: Instruction | None
    position: int | None
    stage: Stage | None = None
    why: Why | None = None
    doubtful: bool = False
    activity_id: str | None = None
    request_id: str | None = None
    share_status: int | None = None
    notice: Why | None = None
    revoke_id: str | None = None
    changed_at: datetime | None = None
    last_call: LastCall | None = None
    ends_at: datetime | None = None
    renewal: int = 0
    edit: str | None = None
    earlier: Sequence[tuple[datetime, datetime]] = ()

    def state_at(self, now: datetime) -> State:
        """Its state as people are told it: a share that is over by now (UTC, without a zone) is `ended`."""
        is_over = self.state is State.SHARED and self.ends_at is not None and self.ends_at <= now
        return State.ENDED if is_over else self.state

    @property
    def begun(self) -> Sequence[str]:
        """The rows that made the shares which an earlier try revoked for it, or began to."""
        if self.why and self.why.cause is Cause.REVOKING_EARLIER:
            return tuple(self.why.details["of"])
        if self.notice and self.notice.cause is Cause.REVOKED_FIRST:
            return tuple(self.notice.details["of"])
        return ()


@dataclass(frozen=True, slots=True)
class Posted:
    """An activity that was sent, by its `marker`: `activity_id` is None where by the ledger it does not stand.

    `is_refused`: LeadSquared said that it was not posted. `is_shared`: a share stands in its context, or did.
    """

    sheet_row: int
    marker: str
    event: int
    sent_at: datetime
    activity_id: str | None
    is_refused: bool
    is_shared: bool


@dataclass(frozen=True, slots=True)
class SheetRecord:
    """One version of a sheet. `digest` is of its bytes and of every option that changes what its rows mean.

    The end of `digest`, from `CHOICE_FROM`, is of the rows that were chosen alone.
    """

    name: str
    path: str
    worksheet: str | None
    digest: str
    columns: Sequence[str]
    mapping: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """What LeadSquared answered for a lead or user that a row names by `kind` and `value`.

    `found` is what there is, None where nothing can be used; then `problem` says why, and `cause` of which kind
    that is.
    """

    kind: str
    value: str
    found: Mapping[str, Any] | None
    problem: str | None = None
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One process that worked on the ledger."""

    id: int
    command: str
    version: str
    settings: Mapping[str, Any]
    started_at: datetime
    ended_at: datetime | None
    ended: str | None


def run_id(job: str, number: int, started_at: datetime) -> str:
    """The Id by which people know a run: the same wherever its ledger is, whoever asks."""
    named = f"{job}\n{number}\n{started_at.isoformat()}".encode()
    return base64.b32encode(hashlib.blake2b(named, digest_size=5).digest()).decode().lower()


class Share(NamedTuple):
    """What a row shared, or may have shared if it is `doubtful`. `run` is the number of the run that made it.

    `ends_at` is when it ends: so long after it was accepted, or at the time that it was made for; None if unknown.
    `access` is 0 where nobody knows whether it stands: it may have been made, or it is being revoked. It is `held`
    where its row is under way, so that it may still be to come. `changed_at` is since when its row is in its state.
    """

    row_id: int
    sheet_row: int
    is_in_sheet: bool
    state: State
    doubtful: bool
    lead_id: str
    user_id: str
    access: int
    ends_at: datetime | None
    request_id: str | None
    run: int | None
    held: bool = False
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """How a call changes its row: the `state` it enters, and what is now known of it.

    `outcome` names the Outcome, `words` are the API's own. `doubtful`: a call that may have been done stands behind
    it. The row keeps the notice that it has where there is no new one.
    """

    state: State
    outcome: str
    words: str = ""
    http_status: int | None = None
    answer_id: str | None = None
    stage: Stage | None = None
    why: Why | None = None
    doubtful: bool = False
    notice: Why | None = None
    learned: Mapping[str, str | int | datetime | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alike:
    """How many `rows` are where they are for one reason, and the numbers of the `first` of them.

    `row` is the first, without its cells, and with this reason alone if it has several; its `why` is None for rows
    of too many reasons to be told apart. `is_same`: it is the others' reason word for word, and not only but for
    what a cell, or LeadSquared, says of each.
    """

    row: Row | NewRow
    rows: int
    first: Sequence[int]
    is_same: bool = True

    @property
    def cause(self) -> Cause | None:
        """Why they are where they are, if there is anything to say of it."""
        return self.row.cause

    @property
    def notice(self) -> Why | None:
        """What else is to be known of the first."""
        return self.row.notice if isinstance(self.row, Row) else None


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many `rows` wait for their start, and when the `first` is due (UTC, without a zone; None: none waits)."""

    rows: int = 0
    first: datetime | None = None


NONE_WAITING: Final = Waiting()


@dataclass(frozen=True, slots=True)
class EndingSoon:
    """How many shares end within the next `days`, and when the first does (UTC, without a zone)."""

    shares: int = 0
    first: datetime | None = None
    days: int = 7


NONE_ENDING: Final = EndingSoon()


@dataclass(frozen=True, slots=True)
class Totals:
    """What a summary tells of the rows, each as results.summary.Summary has it."""

    states: dict[State, int]
    earlier: Mapping[State, int]
    corrected: Mapping[str, int]
    troubles: Sequence[Alike]
    skipped: Sequence[Alike]
    waiting: Waiting
    ending: EndingSoon
    noticed: int
    standing: int
    fixable: int
    in_sheet: int
    untold: int
    lost: int
    unrevoked: Sequence[int]
    held: int
    renewable: int
    other_end: int


@dataclass(frozen=True, slots=True)
class ToShare:
    """What rows that are still to be sent would give: `leads` to `people`, each of them counted once.

    `reads` and `writes` count the shares. Of rows that say how long they last, the `shortest` and `longest` in
    minutes; of those that say until when, `first_end` (of ends still to come) and `last_end` (UTC, without a zone).
    None where no row says so.
    """

    leads: int = 0
    people: int = 0
    reads: int = 0
    writes: int = 0
    shortest: int | None = None
    longest: int | None = None
    first_end: datetime | None = None
    last_end: datetime | None = None


class Occasion(StrEnum):
    """Why a sheet was taken in again."""

    SHEET = "its bytes or its options changed"
    CHOICE = "other rows were chosen"
    FOUND = "somebody was found who was not found before"
    TIME = "time says otherwise"


@dataclass(frozen=True, slots=True)
class Changes:
    """What taking a sheet in changed: rows that are `new`, known already (`kept`), and no longer there (`gone`).

    `occasion` is why it was. Of its leads and users so many were `looked_up`, and `recalled` from earlier look-ups.
    """

    new: int
    kept: int
    gone: int
    occasion: Occasion = Occasion.SHEET
    recalled: int = 0
    looked_up: int = 0


@dataclass(frozen=True, slots=True)
class UserResults:
    """What became of a user's rows. `user_id` is None for those that no user is known of."""

    user_id: str | None
    name: str
    email: str
    states: Mapping[State, int]

    @property
    def rows(self) -> int:
        """All rows of the user."""
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class Statistics:
    """A ledger in numbers. `users` and `reasons` are those with the most rows, of `all_users` and `all_reasons`."""

    states: Mapping[State, int]
    users: Sequence[UserResults]
    all_users: int
    reasons: Sequence[Alike]
    all_reasons: int
