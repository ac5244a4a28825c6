"""The errors a caller can meet, as one tree::

    BatchShareError              base; `str(error)` is one sentence for a person
    ├── SettingsError            a setting is missing or makes no sense
    ├── ScheduleMissed           a schedule of a store did not run when it should have
    ├── SheetError               the sheet can't be read at all (a bad row is no error: it is an `invalid` row)
    ├── LedgerError              the ledger can't be opened, written or trusted
    │   ├── LedgerLocked         another process is using it
    │   ├── NoLedger             the file holds none, or one that was cut off before it held anything
    │   ├── StoreTrouble         the store of ledgers can't be reached, read or written just now
    │   ├── LedgerTooNew         it was written by a later version
    │   ├── LedgerMoved          it is elsewhere now, or was on its way here
    │   ├── OfAnotherSheet       it is of another sheet than the one that is to be run into it
    │   └── IllegalTransition    a row was told to go where the table of states has no way
    ├── HistoryError             the index of runs can't be used (a run goes on without it)
    ├── Unreachable              no connection to LeadSquared came about, again and again
    ├── NotAnswered              call after call was sent and not answered as documented
    ├── StillThrottled           every call was refused as one too many, for a long time
    ├── AccountClosed            LeadSquared wants no call for longer than a run waits
    ├── DailyLimitReached        the calls that the account may make a day are spent
    ├── AccessDenied             LeadSquared refused the keys or the user behind them
    ├── NoSuchApi                LeadSquared has not one of the APIs that nothing can be done without
    ├── PlanChanged              a run is not what its plan was approved for
    ├── NotConfirmed             nobody agreed to what a run would do
    ├── TooManyRows              a run would send more rows than it may
    ├── TooManyForUser           a user would get more leads in a run than they may
    ├── TooManyRevokes           a run would revoke more shares than anybody agreed to
    ├── TooManyFailures          row after row failed
    ├── CanaryFailed             the first rows did not all get shared
    └── OwnerNotVerified         the first activity's owner is not the sales user, or could not be read back

Each carries what a program needs as attributes; nothing has to be parsed out of a message. No message ever
holds a key.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path


def sentence(words: str) -> str:
    """Somebody else's words as the end of a sentence: with one full stop."""
    return words if words[-1:] in {".", "!", "?"} else f"{words}."


def is_blank(value: object) -> bool:
    """Whether it is a text, and nothing but white space."""
    return isinstance(value, str) and not value.strip()


def spelled(name: str) -> str:
    """A name as it can be printed and kept: what is not UTF-8 in it is spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()


def first_of(named: Sequence[str], most: int = 5) -> str:
    """The first five, or `most`, and how many others there are."""
    more = f" and {len(named) - most:,} more" if len(named) > most else ""
    return f"{', '.join(named[:most])}{more}"


class BatchShareError(Exception):
    """Base of everything batch_share raises for a foreseeable reason. `str(error)` is for a terminal.

    `problem` says what is wrong and `hint` what to do, each without paths of files and without commands: for those
    who have no terminal. `row` is the sheet's own number, None where it is about no single row. `sent_before`
    counts the posts, shares and revocations of rows that were sent before it ended a job.
    """

    sent_before = 0
    row: int | None = None
    hint = "Fix what is described here, and try again: nothing is sent twice."

    def __init__(self, words: str, *, problem: str = "", hint: str = "") -> None:
        super().__init__(words)
        self.problem = problem or sentence(f"{words[:1].upper()}{words[1:]}")
        self.hint = hint or self.hint


class SettingsError(BatchShareError):
    """A setting is missing or makes no sense.

    `setting` is its name as in the settings file, `wrong` what is wrong, without the value: it may be a key.
    """

    hint = "Correct it, and try again."

    def __init__(self, setting: str, wrong: str, *, problem: str = "", hint: str = "") -> None:
        super().__init__(
            f"{setting}: {wrong}", problem=problem or sentence(f"The setting {setting}: {wrong}"), hint=hint
        )
        self.setting = setting
        self.wrong = wrong


def check_not_empty(setting: str, value: object) -> None:
    """Raises SettingsError for a text that was given as nothing: it is no way to say that nothing was given."""
    if is_blank(value):
        raise SettingsError(setting, "is empty: leave it out, or give it a value")


class ScheduleMissed(BatchShareError):
    """A schedule did not run when it should have: `words` say at what time that was, and why."""

    def __init__(self, schedule: str, account: str, words: str) -> None:
        super().__init__(f"The schedule {schedule} {words}.")
        self.schedule, self.account, self.words = schedule, account, words


class SheetError(BatchShareError):
    """The sheet as a whole can't be read. `path` is the sheet, `wrong` the reason, `row` the place if known."""

    hint = "Correct the sheet, or choose another one."

    def __init__(
        self, path: Path, wrong: str, *, row: int | None = None, problem: str = "", hint: str = ""
    ) -> None:
        where = f"{path.name}, row {row}" if row is not None else path.name
        super().__init__(
            f"{where}: {wrong}", problem=problem or sentence(f"The sheet can't be used: {wrong}"), hint=hint
        )
        self.path = path
        self.wrong = wrong
        self.row = row


class LedgerError(BatchShareError):
    """The ledger can't be opened, written or trusted. `ledger` is its file or URL, `wrong` the reason."""

    def __init__(self, ledger: object, wrong: str, *, problem: str = "", hint: str = "") -> None:
        super().__init__(
            f"Ledger {ledger}: {wrong}",
            problem=problem or sentence(f"The ledger can't be used: {wrong}"),
            hint=hint,
        )
        self.ledger = ledger
        self.wrong = wrong


class LedgerLocked(LedgerError):
    """Another process is using the ledger."""

    hint = "Wait for the other one to end, or stop it."


class NoLedger(LedgerError):
    """The file holds no ledger, or one that was cut off before it held anything: then it `is_empty`."""

    is_empty = False


class StoreTrouble(LedgerError):
    """The store that the ledger is in can't be reached, read or written just now, or was not heard in time."""

    hint = "Make sure that the store can be reached, and try again: nothing is sent twice."


class LedgerTooNew(LedgerError):
    """The ledger was written by a later version of batch_share."""

    hint = "Update batch_share, and try again."


class LedgerMoved(LedgerError):
    """It was moved to the ledger called `other`; or, `on_its_way`, is a copy of that whose move was cut off.

    Nobody can work on it.
    """

    def __init__(self, ledger: object, other: str, *, on_its_way: bool = False) -> None:
        store = "" if other.startswith("postgresql") else " with --store none"
        super().__init__(
            ledger,
            f"it is a copy of {other} whose move was cut off, and that is the one to work on: move it again"
            if on_its_way
            else f"it was moved to {other}: name that{store}",
            problem="It is a copy of a ledger whose move was cut off." if on_its_way else "The ledger was moved.",
            hint="Move it again." if on_its_way else "Name the one that it was moved to.",
        )
        self.other, self.on_its_way = other, on_its_way


class OfAnotherSheet(LedgerError):
    """Things were sent for the rows of the sheet `named`, and none of them is in `sheet`. No row was changed."""

    def __init__(self, ledger: object, named: str, sheet: str) -> None:
        super().__init__(
            ledger,
            f"it belongs to the sheet {named}, and holds no row of {sheet} that asks for the same: "
            f"give {sheet} a ledger of its own (leave out --ledger)",
            problem=f"The ledger belongs to the sheet {named}, and holds none of the rows of {sheet}.",
            hint=f"Give {sheet} a ledger of its own.",
        )
        self.named = named
        self.sheet = sheet


class IllegalTransition(LedgerError):
    """The row `row_id` was to enter `state` from a state that has no way there: two writers, or a bug."""

    def __init__(self, ledger: object, row_id: int, state: str) -> None:
        super().__init__(ledger, f"row {row_id} can't become {state} from where it is; nothing was changed")
        self.row_id = row_id
        self.state = state


class HistoryError(BatchShareError):
    """The index of what ran on this machine can't be used. `file` is where it is, `wrong` the reason."""

    def __init__(self, file: Path, wrong: str, *, problem: str = "", hint: str = "") -> None:
        super().__init__(
            f"Index of runs {file}: {wrong}",
            problem=problem or sentence(f"The index of runs can't be used: {wrong}"),
            hint=hint,
        )
        self.file = file
        self.wrong = wrong


class Unreachable(BatchShareError):
    """No connection to `host` came about in `tries` tries; of the rows that were `left` to send nothing was sent.

    `words` say why. After one try it was hopeless: `words` say what is to be fixed. If no call was `answered`, it
    may be the wrong host.
    """

    def __init__(self, host: str, tries: int, words: str, *, left: bool = True, answered: bool = True) -> None:
        how, when = (f" in {tries} tries", "it can be reached") if tries > 1 else ("", "that is fixed")
        why = f"could not be reached{how}: {sentence(words)}"
        unsent = " Nothing was sent for the rows that are left." if left else ""
        check = "" if answered or tries == 1 else "Check that the host that is set is right. "
        super().__init__(
            f"{host} {why}{unsent} {check}Run the same command again when {when}.",
            problem=f"LeadSquared {why}{unsent}",
            hint=f"{check}Resume when {when}.",
        )
        self.host = host
        self.tries = tries
        self.words = words


class NotAnswered(BatchShareError):
    """`calls` calls in a row were sent, and nobody knows whether they were done. `words` are of the last.

    Or, if they `look_up`, so many leads and users were asked for, and none was told of.
    """

    def __init__(self, calls: int, words: str, *, look_up: bool = False) -> None:
        again, hint = "nothing is repeated", "Resume when LeadSquared has recovered: nothing is repeated."
        problem = (
            f"{calls} calls in a row were sent and not properly answered ({words}), so the run stopped before more "
            "rows became unknown."
        )
        if look_up:
            problem = f"No look-up of leads or users was properly answered ({words}), so nothing was sent."
            again = "or, if your account has no such APIs, with Ids in the sheet and --trust-ids"
            hint = "Try again when LeadSquared has recovered; or, if the account has no such APIs, set trust_ids."
        super().__init__(
            f"{problem} Run the same command again when LeadSquared has recovered; {again}.",
            problem=problem,
            hint=hint,
        )
        self.calls = calls
        self.words = words


class DailyLimitReached(BatchShareError):
    """The calls that the account may make a day, `limit`, are spent: `made` by this machine."""

    def __init__(self, limit: int, made: int) -> None:
        problem = (
            f"{made:,} calls were made today and {limit:,} are allowed, so the run stopped before it made more."
        )
        super().__init__(
            f"{problem} What was sent is in the ledger; run the same command again tomorrow (the day ends at "
            "midnight UTC).",
            problem=problem,
            hint="Resume tomorrow (the day ends at midnight UTC): nothing is repeated.",
        )
        self.limit = limit
        self.made = made


class StillThrottled(BatchShareError):
    """For `seconds` every call was refused as one too many: `words` are the API's own."""

    def __init__(self, seconds: float, words: str) -> None:
        problem = (
            f"For {seconds / 60:.0f} minutes LeadSquared refused every call as one too many: {sentence(words)}"
        )
        others = "Other programs may be using the account's calls, or today's are used up"
        super().__init__(
            f"{problem} {others}; run the same command again later: nothing is repeated.",
            problem=problem,
            hint=f"{others}. Resume later: nothing is repeated.",
        )
        self.seconds = seconds
        self.words = words


class AccountClosed(BatchShareError):
    """LeadSquared wants no call of the account before `until` (with its zone).

    `words` are its own, "" if an earlier run was told so and no call was made.
    """

    def __init__(self, until: datetime, words: str = "") -> None:
        then = f"{until.astimezone():%Y-%m-%d %H:%M:%S %Z}"
        why = f": {sentence(words)}" if words else ", as it told an earlier run."
        problem = f"LeadSquared takes no calls of this account until {then}{why}"
        super().__init__(
            f"{problem} What was sent is in the ledger; run the same command again then: nothing is repeated. "
            "With --rate 25/5s (or --force) it calls before then anyway.",
            problem=problem,
            hint="Resume then: nothing is repeated.",
        )
        self.until = until
        self.words = words


class AccessDenied(BatchShareError):
    """LeadSquared answered 401, or a 403 that is no throttle: `status` is the code, `words` the API's own.

    With `is_page` the answer was a web page: LeadSquared's are none, so something between may have refused it.
    """

    def __init__(self, status: int, words: str, *, is_page: bool = False) -> None:
        refused = f"LeadSquared refused access (HTTP {status}): {sentence(words or 'no reason given')}"
        check = "Check the keys, that they belong to an administrator, and that the host is your region's."
        if is_page:
            refused = f"A web page came instead of LeadSquared's answer: {sentence(words)}"
            check = "If it is of a web filter, firewall or proxy, have it let the host through."
        super().__init__(f"{refused} {check}", problem=refused, hint=check)
        self.status = status
        self.words = words


class NoSuchApi(BatchShareError):
    """The `host` answered 404 to one of the calls that sharing is made of: `path` is not there. `words` say it."""

    def __init__(self, host: str, path: str, words: str) -> None:
        why = f"{sentence(words or 'no reason given')} Nothing was done by that call"
        super().__init__(
            f"{host} has no API {path}: {why}, and batch_share can't do without it. Check that the host is your "
            "region's, and run the same command again.",
            problem=f"The host that is set lacks one of the APIs that sharing needs: {why}.",
            hint="Check that the host is your region's, and try again.",
        )
        self.host = host
        self.path = path
        self.words = words


class PlanChanged(BatchShareError):
    """A run is not what was approved: nothing was sent. `what` is the thing that changed.

    `plan` is the saved plan, None if the approval came from no file.
    """

    def __init__(self, plan: Path | None, what: str) -> None:
        changed = f"{what[0].upper()}{what[1:]} changed since"
        super().__init__(
            f"{changed} {plan.name if plan else 'the plan'} was approved. Nothing was sent; plan again and have it "
            "approved.",
            problem=f"{changed} the plan was approved. Nothing was sent.",
            hint="Plan again and have it approved.",
        )
        self.plan = plan
        self.what = what


class NotConfirmed(BatchShareError):
    """A run, or what a command was to revoke, was shown and not agreed to: nothing was sent."""

    def __init__(self, words: str = "", *, deed: str = "send") -> None:
        done, what = ("revoked", "it") if deed == "revoke" else ("sent", "the run")
        hint = f"Confirm it if this is what you want to {deed}."
        super().__init__(words or f"Nothing was {done}: {what} was not confirmed.", hint=hint)
        if words:  # they say what to do
            self.hint = ""


class TooManyRows(BatchShareError):
    """A run would send `rows` rows, and `most` are allowed: nothing was sent. `excess` says so for a plan.

    Of the `rows`, `revocations` are shares that would be revoked.
    """

    def __init__(self, rows: int, most: int, revocations: int = 0) -> None:
        back = f" or revoked ({revocations:,})" if revocations else ""
        self.excess = f"{rows:,} rows would be sent{back} and --max-rows allows {most:,}"
        super().__init__(
            f"{self.excess}, so nothing was sent. Check the sheet; if it is right, raise --max-rows, or send a "
            "part of it with --limit or --rows.",
            problem=f"{rows:,} rows would be sent{back} and {most:,} are allowed, so nothing was sent.",
            hint="Check the sheet; if it is right, allow more rows, or send a part of it.",
        )
        self.rows = rows
        self.most = most


class TooManyForUser(BatchShareError):
    """Some users would get more than `most` leads: `users` says how many each. Nothing was sent.

    They are called by e-mail address, or by whatever else is known of them. `excess` says it for a plan.
    """

    def __init__(self, users: dict[str, int], most: int) -> None:
        named = first_of([f"{user} ({count:,})" for user, count in users.items()])
        allowed = f"the {most:,} that --max-per-user allows"
        self.excess = f"these users would get more leads than {allowed}: {named}"
        super().__init__(
            f"T{self.excess[1:]}. Nothing was sent. Check the sheet; if it is right, raise --max-per-user.",
            problem=f"These users would get more leads than the {most:,} that are allowed for each: {named}. "
            "Nothing was sent.",
            hint="Check the sheet; if it is right, allow more leads for a user.",
        )
        self.users = users
        self.most = most


def spell_revoked_first(users: Mapping[str, int], sheets: Sequence[str], verb: str) -> str:
    """How many earlier shares are revoked first, of which sheets and from whom; `verb` stands before `revoked`."""
    shares, losing = sum(users.values()), [f"{user} ({n:,})" if n > 1 else user for user, n in users.items()]
    counted = f"{shares:,} share{'' if shares == 1 else 's'}"
    return f"{counted} of {first_of(sheets)} {verb} revoked from {first_of(losing)}"


class TooManyRevokes(BatchShareError):
    """A run would revoke shares of earlier runs, and nobody was asked: nothing was sent or revoked.

    `users` says how many shares each user would lose, called as in TooManyForUser, `sheets` which sheets they are
    of, `most` how many may be revoked without a question. `words` say what would be revoked.
    """

    def __init__(self, words: str, users: Mapping[str, int], sheets: Sequence[str], most: int) -> None:
        allowed = f" (--max-revokes allows {most:,})" if most else ""
        super().__init__(
            f"{words}, and nobody was asked{allowed}: add --max-revokes {sum(users.values())}, or set max_revokes. "
            "Nothing was sent or revoked.",
            problem=f"{words}, and nobody was asked. Nothing was sent or revoked.",
            hint=f"Agree to it, or allow {sum(users.values()):,} shares to be revoked.",
        )
        self.words = words
        self.users = users
        self.sheets = sheets
        self.most = most


class TooManyFailures(BatchShareError):
    """`rows` rows failed one after the other, or of the `sent` ones; `reason` is the last one's.

    Where they failed in processing, which is told late, `accepted` rows were sent by then.
    """

    def __init__(self, rows: int, reason: str, sent: int | None = None, accepted: int | None = None) -> None:
        how = "in a row" if sent is None else f"of the {sent:,} that were sent"
        stopped = "the run stopped before more did"
        if accepted is not None:
            stopped = (
                f"the run stopped; LeadSquared says whether a row can be shared only after accepting it, and "
                f"{accepted:,} were accepted by then"
            )
        problem = f"{rows:,} rows failed {how}, so {stopped}. The last: {sentence(reason)}"
        super().__init__(
            f"{problem} The remaining rows are untouched: fix the cause, then run the same command again.",
            problem=problem,
            hint="Fix the cause, then send the remaining rows: they are untouched.",
        )
        self.rows = rows
        self.reason = reason
        self.sent = sent
        self.accepted = accepted


class CanaryFailed(BatchShareError):
    """The first `rows` rows did not all get shared: `states` counts them.

    `sheet_row` is the first that did not, `reason` why, in a sentence.
    """

    def __init__(self, rows: int, states: dict[str, int], sheet_row: int, reason: str, ledger: str) -> None:
        named = shlex.quote(ledger)
        counted = ", ".join(f"{count:,} {state}" for state, count in states.items())
        problem = (
            f"Not all of the {rows:,} canary rows were shared: {counted}. Row {sheet_row}: {sentence(reason)} "
            "The rest was not sent"
        )
        super().__init__(
            f"{problem}, and with --canary won't be until this row is fixed in the sheet, left out or tried again: "
            f"`batch-share retry {named}` (`batch-share follow-up {named}` checks accepted rows again). Without "
            "--canary the rest is sent.",
            problem=f"{problem}.",
            hint="Fix the row, leave it out or try it again; following up checks accepted rows.",
        )
        self.row = self.sheet_row = sheet_row
        self.rows = rows
        self.states = states
        self.reason = reason


class OwnerNotVerified(BatchShareError):
    """The first activity's owner could not be verified, so nothing was shared on trust.

    `activity_id` is the activity that was read back, `expected` the sales user's Id, `found` the owner that
    LeadSquared shows ("": it shows none): `is_anothers`, if it is known to be somebody else.
    """

    def __init__(self, activity_id: str, expected: str, found: str, *, is_anothers: bool = False) -> None:
        shown = f"does not show who owns activity {activity_id}"
        if found:
            shown = f"shows the owner of activity {activity_id} as {found!r}, which can't be compared"
        problem = f"LeadSquared {shown}, so it is not certain that leads would be shared with the right user."
        look = f"Look at it in LeadSquared: if its owner is {expected}, run again"
        typed, hint = f"{look} with --trust-owner.", f"{look} and trust the owner."
        if is_anothers:
            problem = (
                f"Activity {activity_id} was posted for user {expected}, but LeadSquared says its owner is "
                f"{found}. Nothing more was sent: every share would have gone to the wrong user."
            )
            typed = hint = "Check that the activity type has its Owner field enabled."
        super().__init__(f"{problem} {typed}", problem=problem, hint=hint)
        self.activity_id = activity_id
        self.expected = expected
        self.found = found
        self.is_anothers = is_anothers


PASSING: Final = (
    Unreachable,
    NotAnswered,
    StillThrottled,
    AccountClosed,
    DailyLimitReached,
    LedgerLocked,
    StoreTrouble,
)
"""What is not the sheet's fault, and may be over when it is tried again."""

NEEDS_A_YES: Final = (NotConfirmed, TooManyRows, TooManyForUser, TooManyRevokes)
"""What may be right as it is, which only a person can say."""

# ------------------------------------------------------------------------------ what errors of ledgers say, by part

IN_USE: Final = "another batch_share process is working on it."
WAIT: Final = "Wait for it to end, or stop it; `batch-share status` shows how far it is."
CAN_T_BE_USED: Final = f"The ledger can't be used: {IN_USE}"
GIVEN_UP: Final = (
    "the account was given up: the store was not heard in time, or has ended the connection, so nothing more was "
    "sent. Another may work on it now. Run the same command again: nothing is sent twice"
)
NO_DRIVER: Final = "needs what `pip install 'batch-share[cluster]'` brings along"
STORE_MEANINGS: Final = {  # by the state that PostgreSQL says
    "25006": "it can only be read now: a standby has no ledgers to work on",
    "53100": "its disk is full",
    "53300": "it has too many connections",
    "28P01": "the password is refused",
    "28000": "the user is refused",
    "3D000": "there is no such database",
    "42501": "the user may not do this there",
}
NO_TABLES: Final = "it has no tables of batch_share: make them with `batch-share store init`"
OF_SCHEDULE: Final = "it is of the schedule {name}"
IS_QUEUED: Final = "a job of it is queued"
