"""What `--json` prints, command by command, for the programs that read it: the one place that describes it.

Each command prints one object on standard output, `runs`, `jobs` and `schedule list` a list. A command that an
error ends prints Stopped: by itself, or, if rows were counted, its keys beside theirs. A key that is not always
there is there when it says something. Times are UTC, such as `2026-12-31T09:00:00Z`; rows have the sheet's own
numbers.

How far a job is, standard error tells now and then; unless it is a terminal, as an InProgress on a line of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NewType, NotRequired, TypedDict

from batch_share.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping

Time = NewType("Time", str)
"""Such as `2026-12-31T09:00:00Z`."""


class Reported(TypedDict):
    """The error of a command that one ended."""

    kind: Annotated[str, "its class, one of those in `batch_share`; `KeyboardInterrupt` if a person cut it off"]
    message: Annotated[str, "what happened and what to do next, for people"]


class Stopped(TypedDict):
    """What is printed of any command that an error ended."""

    command: Annotated[str, "which"]
    file: Annotated[str | None, "what it was to work on, a full path; null if it takes none"]
    sent: Annotated[int | None, "posts, shares and revocations that were sent; null: only the ledger knows"]
    error: Annotated[Reported, "why it ended"]
    exit_code: Annotated[int, "as the process has it"]


class Unchecked(TypedDict):
    """What LeadSquared could not be asked about."""

    what: Annotated[Literal["ids", "owner"], "whether Ids are right, or whom activities belong to"]
    rows: Annotated[int, "of how many rows; 0 of `owner`"]
    why: Annotated[str, "why it could not be asked"]


class Extra(TypedDict):
    """A row with activities that should not be there."""

    sheet_row: Annotated[int, "its number in the sheet"]
    extra: Annotated[list[str], "the Ids of those activities"]
    ours: Annotated[str | None, "the Id of the one that should; null: none should"]
    shared: Annotated[bool, "whether a share stands in its context"]


class Audited(TypedDict):
    """What the last look at all of a job's activities found."""

    verdict: Annotated[Literal["proved", "doubles", "not conclusive"], "each is there once; some twice; who knows"]
    expected: Annotated[int, "activities that there should be"]
    seen: Annotated[int, "of these how many are"]
    found: Annotated[int, "rows with others"]
    named: Annotated[list[Extra], "the first 100 of them"]
    unread: Annotated[dict[str, str], "why a list was not read to its end, by code of activity, or `any`"]
    again: Annotated[Time | None, "when another look may see more; null: it would not"]
    at: Annotated[Time, "when it was"]


class Parts(TypedDict):
    """How many rows a plan does what with; each row is in one part."""

    to_send: Annotated[int, "are shared, be it later"]
    revoking: Annotated[int, "only revoke what was shared before"]
    invalid: Annotated[int, "can't be sent"]
    repeats: Annotated[int, "say what an earlier row says"]
    held: Annotated[int, "wait for another job that has their lead and user under way"]
    already_shared: Annotated[int, "are shared by another ledger"]
    sent_before: Annotated[int, "were sent by this sheet's own ledger"]
    left_out: Annotated[int, "are left out by options such as `--rows`"]


class ProblemCell(TypedDict):
    """What is wrong in one place of a sheet."""

    row: Annotated[int | None, "its number in the sheet"]
    column: Annotated[str, 'its header; "": it is about the whole row']
    value: Annotated[str, "what the cell says"]
    text: Annotated[str, "what is wrong with that"]
    cause: Annotated[str, "the same in a word, such as `no_lead`"]
    hint: Annotated[str, 'what to do, if the text does not say it; else ""']


class Plan(TypedDict):
    """What a run of a sheet would do, or is about to do."""

    rows: Annotated[int, "rows of the sheet"]
    to_send: Annotated[int, "rows that are shared, be it later"]
    parts: Annotated[Parts, "what becomes of the rows"]
    taking_back: Annotated[int, "rows for which shares that were made before are revoked"]
    earlier_shares: Annotated[int | None, "how many shares these are; null: not known without `--online`"]
    sent_before: Annotated[dict[State, int], "rows that were sent before, or begun, by state"]
    invalid: Annotated[int, "rows that can't be sent"]
    skipped: Annotated[int, "rows that need not be sent"]
    already_shared: Annotated[int, "of these, those that another ledger shared"]
    left_out: Annotated[int, "rows that options leave out"]
    waiting: Annotated[int, "rows that are not sent before their start"]
    columns: Annotated[dict[str, str], "what each column that is read is taken to hold, by header"]
    ignored_columns: Annotated[list[str], "headers of those that are not read"]
    notes: Annotated[list[str], "what a person should know of how the sheet was read"]
    leads_per_user: Annotated[dict[str, int], "how many leads each user gets, by name, else address or Id"]
    access: Annotated[dict[Literal["read", "write"], int], "rows that are shared, by access"]
    lasting: Annotated[dict[str, int], "the same by how long it lasts, in words such as `7 days`"]
    calls: Annotated[int, "API calls of the run, at least, without look-ups"]
    look_ups: Annotated[list[int], "calls that look people up before: at least, at most"]
    recalled: Annotated[int, "names known from earlier look-ups, for which no call is made"]
    seconds: Annotated[int, "how long the calls take, at least"]
    rate: Annotated[str, "calls at most: `25/5s` is 25 in 5 seconds"]
    bulk_rate: Annotated[str | None, "bulk calls at most; null: not in bulk"]
    seconds_in_bulk: Annotated[int, "how long they would take with `--bulk`"]
    share_of_daily_limit: Annotated[float | None, "part of the setting `daily_limit`: 0.5 is half; null: not set"]
    calls_today: Annotated[int, "calls of this account by this machine since midnight UTC"]
    ends_on: Annotated[str, "the day on which it ends by that limit, such as `2026-12-31`, if run each day"]
    guards: Annotated[str, "the guards in force, for people"]
    would_stop: Annotated[list[str], "why a run would send nothing; empty: it would not stop"]
    oddities: Annotated[list[str], "what deserves a second look, for people"]
    problems: Annotated[list[str], "what is wrong with each row that can't be sent, for people"]
    repeats: Annotated[list[str], "which row repeats which, for people"]
    problem_cells: Annotated[list[ProblemCell], "the problems cell by cell"]


class Totals(TypedDict):
    """What became of the rows of a ledger."""

    rows: Annotated[int, "rows of the sheet"]
    states: Annotated[dict[State, int], "how many are in which state, those without rows left out"]
    doubles: Annotated[int, "rows whose activity was found twice"]
    unchecked: Annotated[list[Unchecked], "what LeadSquared could not be asked about"]
    run: Annotated[str | None, "Id of the ledger's last run; null: it had none"]
    ledger: Annotated[str, "full path"]
    results: Annotated[str | None, "full path of the results; null: not written"]
    failed_sheet: Annotated[str | None, "full path of the rows to fix; null: no row can be fixed there"]
    audit: NotRequired[Annotated[Audited, "whether each activity is there once, if that was looked at"]]
    earlier: NotRequired[Annotated[dict[State, int], "rows that only earlier sheets of this ledger had"]]
    corrected: NotRequired[
        Annotated[dict[str, int], "rows that are as corrected in a file, by its name, or on the page (`page`)"]
    ]
    waiting: NotRequired[Annotated[int, "rows, of those pending, that are not sent before their start"]]
    first_due: NotRequired[Annotated[Time | None, "when the first of them is due; with `waiting`"]]
    waiting_until: NotRequired[Annotated[Time, "LeadSquared takes no calls before"]]


class Ended(Totals):
    """What became of the rows of a run's sheet, and what the run was about to do."""

    preview: NotRequired[Annotated[Plan, "what it was about to do, confirmed or not, if it came to that"]]


class JobEnded(Totals):
    """The end of the work on one ledger of several."""

    exit_code: Annotated[int, "as a command on this ledger alone would have it"]


class AllJobs(TypedDict):
    """What became of one user's shares of every ledger."""

    jobs: Annotated[list[JobEnded | Stopped], "each ledger's end"]
    remarks: Annotated[list[str], "what else a person should know"]
    exit_code: Annotated[int, "the most urgent of theirs"]


class Share(TypedDict):
    """A share that gives access now."""

    lead: Annotated[str, "LeadSquared's Id of the lead"]
    lead_number: Annotated[str | None, "its number; null: not known here"]
    user: Annotated[str, "LeadSquared's Id of the user"]
    user_name: Annotated[str | None, "null: not known here"]
    user_email: Annotated[str | None, "null: not known here"]
    access: Annotated[Literal["read", "write"] | None, "null where it is doubtful"]
    doubtful: Annotated[bool, "nobody knows whether it stands"]
    ends: Annotated[Time, "when it ends"]
    known_by: Annotated[Literal["ledger", "leadsquared"], "one of this machine, or an activity (`--online`)"]
    sheet: Annotated[str | None, "name of the sheet; null: not known here"]
    row: Annotated[int | None, "number of the row in it; null: not known here"]
    ledger: Annotated[str | None, "full path; null: another machine's"]
    run: Annotated[str | None, "Id of the run; null: another machine's"]


class Accesses(TypedDict):
    """Who has access now."""

    shares: Annotated[list[Share], "the first to end first"]
    remarks: Annotated[list[str], "what a person should know of them"]


class Run(TypedDict):
    """A run on this machine."""

    run: Annotated[str, "its Id"]
    started: Annotated[Time, "when it began"]
    ended: Annotated[Time | None, "null: it goes on, or was cut off"]
    how: Annotated[str | None, "how it ended, in words; null as above"]
    command: Annotated[str, "which"]
    host: Annotated[str, "base URL of the API"]
    sheet: Annotated[str | None, "name of the sheet; null: it came to none"]
    ledger: Annotated[str, "full path"]
    states: Annotated[dict[State, int], "the ledger's rows by state when it ended"]
    purged: Annotated[Time | None, "when `purge` deleted its ledger; null: it did not"]


class KeptLedger(TypedDict):
    """A ledger that `purge` leaves."""

    ledger: Annotated[str, "full path"]
    why: Annotated[str, "for people"]


class Purged(TypedDict):
    """What `purge` did."""

    deleted: Annotated[list[str], "full paths of what was deleted"]
    kept: Annotated[list[KeptLedger], "ledgers that stay"]
    changed: Annotated[list[str], "full paths of what stays, changed since it was written"]
    look_ups: Annotated[int, "stored look-ups that were deleted"]


class Question(TypedDict):
    """One thing that `verify` found out about an account."""

    question: Annotated[str, "what was asked"]
    expected: Annotated[str, "the answer that batch_share reckons with"]
    is_documented: Annotated[bool, "by LeadSquared's pages; else a guess"]
    seen: Annotated[str, "the account's answer"]
    follows: Annotated[str, 'what batch_share does by it; "": as always']


class Tried(TypedDict):
    """What `verify` found out."""

    at: Annotated[Time, "when it ended"]
    file: Annotated[str, "full path of the file that is fit to be sent to whoever helps"]
    standing: Annotated[int, "shares that could not be revoked"]
    answers: Annotated[list[Question], "in the order in which they were asked"]


class Check(TypedDict):
    """What one check found."""

    check: Annotated[str, "such as `keys`"]
    level: Annotated[Literal["ok", "warning", "problem"], "how it is"]
    words: Annotated[str, "the same in a sentence"]
    next: Annotated[str, 'what to do; "": nothing']


class Checked(TypedDict):
    """What `doctor` or `store check` found."""

    problems: Annotated[int, "how many; if any, the exit code is 1"]
    warnings: Annotated[int, "how many"]
    checks: Annotated[list[Check], "in the order in which they are to be fixed"]


class StoreMade(TypedDict):
    """What `store init` did."""

    store: Annotated[str, "its URL, without a password"]
    made: Annotated[bool, "whether there were no tables before"]


StoreUpgraded = TypedDict(
    "StoreUpgraded",
    {
        "store": Annotated[str, "its URL, without a password"],
        "from": Annotated[int, "the version that its tables were of"],
        "to": Annotated[int, "the version that they are of"],
    },
)
StoreUpgraded.__doc__ = "What `store upgrade` did."

MovedLedger = TypedDict(
    "MovedLedger",
    {
        "ledger": Annotated[str, "where it is now: a file's full path, or the store's URL, `#`, its name"],
        "from": Annotated[str, "where it was, likewise"],
    },
)
MovedLedger.__doc__ = "What `move` did."


class Handed(TypedDict):
    """A job that is handed over to workers."""

    id: Annotated[int, "its number, for `cancel`"]
    ledger: Annotated[str, "what its ledger is called in the store"]
    account: Annotated[str, "its account, by its name in the settings, else its host"]
    kind: Annotated[
        Literal["run", "resume", "retry", "revoke", "follow_up"], "what is done; a follow-up comes by itself, too"
    ]
    state: Annotated[Literal["queued", "running", "ended", "cancelled"], "how it stands"]
    host: Annotated[str | None, "which worker began it last, as `host:process`; null: none yet"]
    schedule: Annotated[str | None, "which schedule made it; null: none"]
    submitted_by: Annotated[str, "who handed it over"]
    exit_code: Annotated[int | None, "as `run` has it; null: it has not ended, or never began"]
    error: Annotated[str | None, "what stopped it early, or why it rests just now, for people"]
    submitted: Annotated[Time, "when it was handed over"]
    due: Annotated[Time, "when it is to begin"]
    began: Annotated[Time | None, "when it first did"]
    ended: Annotated[Time | None, "when it was over"]
    totals: NotRequired[Annotated[Totals | None, "of `submit --wait`: its ledger's; null: it has none"]]


class Planned(TypedDict):
    """A schedule."""

    name: Annotated[str, "its own, and its ledger's in the store"]
    account: Annotated[str, "whose, by its name in the settings, else its host"]
    cron: Annotated[str, "its five fields"]
    zone: Annotated[str, "by whose clocks"]
    dropped: Annotated[int, "times at which it did not run, as the job before was not over"]
    paused: Annotated[bool, "whether it makes no jobs"]
    next: Annotated[Time, "when it is due"]
    last: Annotated[Time | None, "when it last made a job"]
    missed: Annotated[Time | None, "when it last should have run, and did not"]


Setting = TypedDict(
    "Setting",
    {
        "value": Annotated[Any, "as JSON; of a key only whether it is set"],
        "from": Annotated[str, "where it is set, or `default`"],
    },
)
Setting.__doc__ = "A setting in force."


class Going(TypedDict):
    """How far a job is."""

    phase: Annotated[str, "what is being done, for people"]
    states: Annotated[dict[State, int], "rows by state"]
    done: Annotated[float, "rows that are done, one that is on its way counted in part"]
    calls: Annotated[int, "API calls so far"]
    refusals: Annotated[int, "of these, refused as one too many"]
    seconds_left: Annotated[float | None, "until all calls are made, repeats included; null: nobody knows"]
    waits: Annotated[str, 'what it waits for, for people; "": nothing but its calls']


class InProgress(TypedDict):
    """A line of standard error while a job goes on."""

    progress: Annotated[Going, "how far it is"]


PRINTED: Final[Mapping[str, Any]] = {
    "plan": Plan,
    "run": Ended,
    "resume": Ended,
    "retry": Totals,
    "revoke": Totals,
    "revoke --all-jobs": AllJobs,
    "follow-up": Totals,
    "status": Totals,
    "access": Accesses,
    "runs": list[Run],
    "purge": Purged,
    "verify": Tried,
    "doctor": Checked,
    "store init": StoreMade,
    "store upgrade": StoreUpgraded,
    "store check": Checked,
    "move": MovedLedger,
    **{f"{command} --queue": Handed for command in ("resume", "retry", "revoke", "follow-up")},
    "submit": Handed,
    "jobs": list[Handed],
    "cancel": Handed,
    "schedule add": Planned,
    "schedule list": list[Planned],
    "config show": dict[str, Setting],
}
"""By command, what it prints."""
