"""What an account really does, tried on it: a few activities on one lead, shares of minutes, all of them revoked.

No page of LeadSquared's says most of what is asked here, and no two accounts need answer alike. The shares are made
and revoked by the jobs that runs are made of, each with a ledger, so that whatever ends this in between, the same
command revokes first what stands. Besides there are calls that change nothing, and shares that name nobody: a lead
and a user that a look-up has shown not to be there.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from batch_share.common import Cause, __version__, plural, utc_now
from batch_share.errors import BatchShareError, OwnerNotVerified, SettingsError, sentence
from batch_share.jobs.job import Ending, do
from batch_share.jobs.revoke import Revoke
from batch_share.jobs.run import RunSheet
from batch_share.leadsquared.account import NOT_THERE, is_foreign, name_of_account, names_of_account
from batch_share.leadsquared.people import (
    ALL_USERS,
    PAGE,
    FoundLead,
    FoundUser,
    KeyUser,
    found_by,
    leads_by_ids,
    leads_from,
    leads_where,
    read_leads,
    read_users,
    users_where,
)
from batch_share.leadsquared.protocol import (
    ACTIVITY_TYPES,
    Answer,
    Done,
    ShareItem,
    ShareStatus,
    as_text,
    id_of,
    is_guid,
    read_activity_types,
    read_request_id,
    read_status,
    share_leads,
    share_status,
)
from batch_share.leadsquared.wire_log import Replacing
from batch_share.ledger.files import LedgerName, read_ledger
from batch_share.ledger.states import ARE_SHARED, State
from batch_share.outputs import write_private
from batch_share.planning.intake import SheetJob
from batch_share.sending.calls import FAILURES, ask_key_user, read
from batch_share.sending.session import Course, open_connection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from batch_share.leadsquared.protocol import Call, Lost, NotSent
    from batch_share.ledger.records import Row
    from batch_share.sending.onlookers import Watcher
    from batch_share.sending.session import Connection
    from batch_share.settings import Settings

MINUTES: Final = 5
"""How long its shares last: long enough to be processed and revoked, short enough should nobody revoke them."""

ALONE: Final = 1
TOGETHER: Final = 4
"""Activities that are posted one by one, and in bulk: the first two of these prove whose they are, one each way, so
that the last two can be shared in one call."""

LOOK_UP: Final = "Does the look-up of"
ANSWERS: Final = "answers"
"""How the questions for look-ups begin, and what is seen of one that does what it should."""

_ABSENT_NUMBER: Final = "999999999"
"""Of a lead that is hardly there; it is looked up before anything is said of it."""

_MOST_ALIKE: Final = 5
"""Leads that one look-up may show: some have a phone number in common, in a family for one."""

_STATUS: Final = "EntityAccess.svc/Status/Get"
_SHARE: Final = "EntityAccess.svc/Share"
_REVOKE: Final = "EntityAccess.svc/Revoke"
_CREATE: Final = "ProspectActivity.svc/Create"
_BULK: Final = "ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId"


_NEEDED: Final = {_CREATE, _BULK, _SHARE, _REVOKE, _STATUS}
"""What is asked for whatever was found out: without these nothing, or nothing in bulk, can be done."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What was asked of the account, what is `expected`, as documented or only guessed, and what was `seen`.

    `follows` is what batch_share does by it, "" where it does as always.
    """

    question: str
    expected: str
    is_documented: bool
    seen: str
    follows: str = ""

    @property
    def is_look_up(self) -> bool:
        """Whether it was asked whether a look-up answers."""
        return self.question.startswith(LOOK_UP)

    @property
    def is_usual(self) -> bool:
        """Whether it is a look-up that answers, as most do."""
        return self.is_look_up and self.seen == ANSWERS


@dataclass(frozen=True, slots=True)
class Verified:
    """What an account does: `answers`, tried until `at` (UTC), in a `file` too, fit to be sent to whoever helps.

    `standing` shares could not be revoked; `error` is what stopped it.
    """

    answers: Sequence[Answered]
    at: datetime
    file: Path | None
    standing: int = 0
    error: BatchShareError | None = None


@dataclass(slots=True)
class _Exchange:
    call: Call
    answer: Answer | NotSent | Lost
    ended: float
    seconds: float

    @property
    def value(self) -> Any:
        """The answer's JSON; None if there is none."""
        try:
            return json.loads(self.answer.body) if isinstance(self.answer, Answer) else None
        except (ValueError, RecursionError):
            return None


@dataclass(slots=True)
class _Recorder:
    """Keeps every call and its answer, in place of a wire log."""

    exchanges: list[_Exchange] = field(default_factory=list)

    def note_call(self, call: Call, answer: Answer | NotSent | Lost, seconds: float) -> None:
        self.exchanges.append(_Exchange(call, answer, perf_counter(), seconds))

    def note_row(self, *_: object) -> None:
        """The rows are made up."""

    def of(self, path: str, since: int = 0) -> list[_Exchange]:
        return [each for each in self.exchanges[since:] if each.call.path == path]


class _Quiet:
    """Looks on for a job that was agreed to as a whole."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self.watch = watcher.watch
        self.wait_turn = watcher.wait_turn

    def foresee(self, _: object) -> None:
        """Look-ups of one lead take no while."""

    def agree(self, _: object) -> bool:
        return True

    def is_sure(self, _: object) -> bool:
        return True


class Verification:
    """A trial of the account on one `lead` (GUID, number or e-mail address) and `user` (GUID or e-mail address)."""

    def __init__(self, settings: Settings, watcher: Watcher, lead: str, user: str) -> None:
        self._settings = settings.model_copy(
            update={
                "access": "read", "duration": f"{MINUTES}m", "until": "", "force": True, "allow_duplicates": True,
                "follow_up": True, "canary": None, "daily_limit": None, "max_rows": None, "max_per_user": None,
                "notify": None, "wire_log": None, "workers": 1, "on_unknown": "settle", "share_batch": 2,
            }
        )  # fmt: skip
        self._watcher, self._lead, self._user = _Quiet(watcher), lead.strip(), user.strip()
        self._wire = _Recorder()
        self._answers: list[Answered] = []
        self._own_id = ""

    def intent(self) -> str:
        """What it will do, in a sentence."""
        host, _, _ = self._settings.credentials()
        many = ALONE + TOGETHER
        return (
            f"On {host}: {many} activities on lead {self._lead}, which stay, and as many shares with {self._user} "
            f"of {MINUTES} minutes, revoked at the end."
        )

    @property
    def folder(self) -> Path:
        """Where the sheets and ledgers of the account's trials are."""
        return self._settings.data_folder / f"verify-{name_of_account(self._settings)}"

    async def carry_out(self) -> Verified:
        """Try everything that can be tried, and revoke what was shared, whatever goes wrong.

        Raises BatchShareError for what stops it before its first share.
        """
        for name in names_of_account(self._settings):  # what was found out before is asked anew
            (self._settings.data_folder / f"verify-{name}.json").unlink(missing_ok=True)
        await self._revoke_all()
        async with open_connection(
            self._settings, self._watcher, Course(wire_log=self._wire), "verify"
        ) as connection:
            lead, user = await self._look_up(connection)
        error, standing = None, 0
        try:
            alone = await self._run("one-by-one", lead, user, ALONE, bulk=False)
            if row := next((row for row in alone if row.state in ARE_SHARED), None):
                async with open_connection(
                    self._settings, self._watcher, Course(wire_log=self._wire), "verify"
                ) as connection:
                    await self._try_odd_shares(connection, lead, user, row.activity_id or "")
            await self._run("in-bulk", lead, user, TOGETHER, bulk=True)
        except BatchShareError as stopped:
            error = stopped
        finally:
            since = len(self._wire.exchanges)
            standing = await self._revoke_all()
            self._tell_revoked(since, standing)
        self._tell_spellings(lead, user)
        return Verified(self._answers, datetime.now(UTC), self._write(), standing, error)

    def _tell(self, question: str, expected: str, seen: str, follows: str = "", *, documented: bool = True) -> None:
        self._answers.append(Answered(question, expected, documented, seen, follows))

    # ---------------------------------------------------------------------------------------------- look-ups

    async def _look_up(self, connection: Connection) -> tuple[FoundLead, FoundUser]:
        """Who is meant, by every look-up that there is for them. Raises SettingsError if that is not told."""
        keys, follows = await ask_key_user(connection), ""
        if isinstance(keys, KeyUser):
            self._own_id = keys.id
            seen = f"{keys.role or 'no role'}, OrgId {'told' if keys.org_id else 'not told'}"
        else:
            seen, follows = keys.words, "the account is told by its keys alone"
        self._tell("Whose are the keys?", "an Administrator's, with an OrgId", seen, follows)
        lead, user = await self._find_lead(connection), await self._find_user(connection)
        # What is looked up, by which call, and whether that is documented.
        leads = [
            ("leads by GUID, many to a call", leads_by_ids([lead.id]), True),
            ("a lead by GUID", found_by("lead id", lead.id), True),
            ("a lead by number", leads_where("ProspectAutoId", [lead.number], "="), True),
            (
                "leads by number, many to a call (IN)",
                leads_where("ProspectAutoId", [lead.number, _ABSENT_NUMBER], "IN"),
                False,
            ),
            ("leads from a number on", leads_from(int(lead.number)), False),
        ]
        if lead.email:
            leads.append(("a lead by e-mail address", found_by("lead email", lead.email), True))
        if lead.phone:
            leads.append(("a lead by phone number", found_by("lead phone", lead.phone), True))
        users = [("all users", ALL_USERS, True), ("a user by GUID", found_by("user id", user.id), True)]
        if user.email:
            users.append(("a user by e-mail address", found_by("user email", user.email), True))
            users.append(("a user by a search", users_where("EmailAddress", user.email), False))
        for what, call, documented in leads:
            found = await read(connection, call, read_leads, tries=1, spared=403)
            shown = {(each.id, each.number) for each in found} if isinstance(found, list) else set()
            # The first page of all leads is what an account shows that has not understood the question.
            most = PAGE if ">=" in str(call.body) else _MOST_ALIKE
            is_right = (lead.id, lead.number) in shown and len(shown) <= most
            self._tell_look_up(what, found, documented=documented, is_right=is_right)
        for what, call, documented in users:
            listed = await read(connection, call, read_users, tries=1, spared=403)
            is_right = isinstance(listed, list) and user.id in {each.id for each in listed}
            self._tell_look_up(what, listed, documented=documented, is_right=is_right)
        types = await read(connection, ACTIVITY_TYPES, read_activity_types, tries=1, spared=403)
        self._tell_look_up("the types of activities", types, documented=True, is_right=bool(types))
        return lead, user

    def _tell_look_up(self, what: str, found: object, *, documented: bool, is_right: bool) -> None:
        seen, follows = ANSWERS, ""
        if not isinstance(found, list | dict):
            seen, follows = f"does not: {getattr(found, 'words', '')}", "another look-up is used"
        elif not is_right:
            seen, follows = "answers, and not with what was asked for", "not used"
        self._tell(f"{LOOK_UP} {what} answer?", "it does", seen, follows, documented=documented)

    async def _find_lead(self, connection: Connection) -> FoundLead:
        """The lead that is meant, with both its Ids, by the first look-up that shows them."""
        lead_id, _, number = self._lead.partition(",")
        if is_guid(lead_id) and number.strip().isdigit():  # an account may have no look-up at all
            return FoundLead(id_of(lead_id), number.strip(), "", "")
        by_number = leads_where("ProspectAutoId", [self._lead], "=")
        if is_guid(self._lead):
            ways = [leads_by_ids([id_of(self._lead)]), found_by("lead id", id_of(self._lead))]
        elif "@" in self._lead:
            ways = [leads_where("EmailAddress", [self._lead], "="), found_by("lead email", self._lead)]
        else:
            ways = [by_number]
        for call in ways:
            found = await read(connection, call, read_leads, tries=1, spared=403)
            meant = []
            for each in found if isinstance(found, list) else ():
                is_named = self._lead.lower() in {each.id, each.number, each.email.lower()}
                if each.is_whole and (is_named or id_of(self._lead) == each.id):
                    meant.append(each)
            if len(meant) == 1:
                return meant[0]
        if isinstance(found, FAILURES) and is_foreign(found) and not connection.apis.understood:
            # Nothing was answered as LeadSquared answers: no other lead would be found there either.
            host, why = connection.client.base_url, sentence(found.words)
            raise BatchShareError(
                f"{host} did not answer as LeadSquared does: {why} Check that the host is your region's.",
                problem=f"The host that is set did not answer as LeadSquared does: {why}",
                hint="Check that the host is your region's, and try again.",
            )
        raise SettingsError(
            "lead",
            f"no lead is found by {self._lead!r}: name one by its GUID, number or e-mail address, or by GUID and "
            "number with a comma between them",
            problem=f"No lead is found by {self._lead!r}.",
            hint="Name one by its GUID, number or e-mail address, or by GUID and number with a comma between them.",
        )

    async def _find_user(self, connection: Connection) -> FoundUser:
        """The user that is meant, who must be active. Raises SettingsError."""
        is_id = is_guid(self._user)
        for call in (
            ALL_USERS,
            found_by("user id", id_of(self._user)) if is_id else found_by("user email", self._user),
        ):
            found = await read(connection, call, read_users, tries=1, spared=403)
            for each in found if isinstance(found, list) else ():
                if each.id == id_of(self._user) if is_id else each.email.lower() == self._user.lower():
                    if not each.active:
                        raise SettingsError(
                            "user",
                            f"{each.name} <{each.email}> is not active: name another user",
                            problem=f"{each.name} <{each.email}> is not active.",
                            hint="Name another user.",
                        )
                    return each
        if is_id and not isinstance(found, list):
            return FoundUser(id_of(self._user), "", "", active=True)
        raise SettingsError(
            "user",
            f"no user is found by {self._user!r}: name one by GUID or e-mail address",
            problem=f"No user is found by {self._user!r}.",
            hint="Name one by GUID or e-mail address.",
        )

    # ---------------------------------------------------------------------------------------------- shares

    async def _run(self, name: str, lead: FoundLead, user: FoundUser, rows: int, *, bulk: bool) -> list[Row]:
        """Share the lead with the user so many times, each by an activity of its own; the rows as they are then."""
        self.folder.mkdir(parents=True, exist_ok=True)
        sheet = self.folder / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{name}.csv"
        told = [lead.id, lead.number, user.id, user.email, "batch_share verify"]
        header = "Lead Id,Lead Number,User Id,User Email,Note"
        write_private(sheet, "\n".join([header, *[",".join(told)] * rows]) + "\n")
        since, ledger = len(self._wire.exchanges), LedgerName.of_sheet(sheet)
        settings = self._settings.model_copy(update={"bulk": bulk})
        ending = await do(RunSheet(SheetJob(sheet, ledger)), settings, self._watcher, Course(wire_log=self._wire))
        async with read_ledger(ledger) as reader:
            made = [row async for row in reader.in_order()]
        self._tell_posted(made, user, ending, since, bulk=bulk)
        self._tell_shared(made, since, bulk=bulk)
        if ending.error is not None and not isinstance(ending.error, OwnerNotVerified):
            raise ending.error
        return made

    def _tell_posted(self, rows: Sequence[Row], user: FoundUser, ending: Ending, since: int, *, bulk: bool) -> None:
        """What became of the activities, and how reads show them."""
        how = "in bulk" if bulk else "by itself"
        posts = self._wire.of(_BULK if bulk else _CREATE, since)
        ids = [row.activity_id for row in rows if row.activity_id]
        refused = next((row.last_call.words for row in rows if row.last_call and row.stage is not None), "")
        if not posts:
            self._tell(
                f"Does an activity that is posted {how} get its owner?",
                "it does",
                "not tried: none was posted so",
                documented=bulk,
            )
            return
        if isinstance(ending.error, OwnerNotVerified):
            seen = f"no: {ending.error.problem}"
            follows = "nothing is posted so" if ending.error.is_anothers else "a run wants --trust-owner"
        elif ids and any(each.cause is Cause.OWNER_NOT_CHECKED for each in ending.summary.unchecked):
            seen, follows = "not told: no read shows whose it is", "look at one in LeadSquared before you trust it"
        elif ids and user.id == self._own_id:
            seen, follows = "yes, and it would be the keys' own user's in any case: name another user", ""
        elif ids:
            seen, follows = "yes", ""
        else:
            seen, follows = (
                f"no activity was made: {refused or 'the answers were not understood'}",
                "nothing is posted so",
            )
        self._tell(
            f"Does an activity that is posted {how} get its owner?", "it does", seen, follows, documented=bulk
        )
        if not ids or bulk:
            return
        shown, owner_names, note_places, lag = 0, set[str](), set[str](), None
        names = {user.id, user.email.lower(), user.name.lower()} - {""}
        for each in self._wire.exchanges[since:]:
            if each.call.path.startswith("ProspectActivity.svc/") and each.call.path not in {_CREATE, _BULK}:
                for name, text in _texts(each.value):
                    if as_text(text).strip().lower() in names:
                        owner_names.add(name)
                    if "[bs-" in as_text(text).lower():
                        note_places.add(name)
                if any(as_text(text).lower() == (ids[0] or "").lower() for _, text in _texts(each.value)):
                    shown += 1
                    lag = each.ended - posts[0].ended if lag is None else lag
        seen = f"as {', '.join(sorted(owner_names))}" if owner_names else "not at all"
        self._tell("How do reads show an activity's owner?", "as Owner", seen, documented=False)
        seen = f"in {', '.join(sorted(note_places))}" if note_places else "not at all"
        follows = "" if note_places else "what is lost can't be looked up: a run wants --trust-marker"
        self._tell(
            "How do reads show an activity's note?", "in ActivityEvent_Note", seen, follows, documented=False
        )
        seen = f"{lag:.1f} s after its answer at the latest" if lag is not None else "not within the time of a run"
        self._tell("How soon do reads show an activity?", "within the time of --grace", seen, documented=False)

    def _tell_shared(self, rows: Sequence[Row], since: int, *, bulk: bool) -> None:
        """What became of the shares."""
        calls = self._wire.of(_SHARE, since)
        if not bulk:
            states = ", ".join(sorted({str(row.state) for row in rows}))
            first = calls[0].ended if calls else 0.0
            statuses = [
                (each.ended - first, read_status(each.answer))
                for each in self._wire.of(_STATUS, since)
                if isinstance(each.answer, Answer)
            ]
            numbers = [
                f"{status.number} “{status.words}” after {at:.1f} s"
                for at, status in statuses
                if isinstance(status, ShareStatus)
            ]
            self._tell(
                "Is a share processed?",
                "it is: ShareStatus 6",
                f"{states}: {'; '.join(numbers) or 'no status told'}",
            )
            return
        sizes = [(len(json.loads(each.call.body or b"[]")), each) for each in calls]
        several = [(size, each) for size, each in sizes if size > 1]
        if not several:
            self._tell(
                "Are several shares taken in one call?",
                "they are, with one request Id",
                "not tried: none were to be shared together",
                documented=False,
            )
            return
        size, each = several[0]
        outcome = read_request_id(each.answer) if isinstance(each.answer, Answer) else each.answer
        if isinstance(outcome, Done):
            ids = {text for _, text in _texts(each.value) if is_guid(as_text(text))}
            self._tell(
                "Are several shares taken in one call?",
                "they are, with one request Id",
                f"yes, {size}, with {plural(len(ids), 'Id')}",
                documented=False,
            )
        else:
            self._tell(
                "Are several shares taken in one call?",
                "they are, with one request Id",
                f"no: {outcome.words}",
                "one share to a call",
                documented=False,
            )

    async def _try_odd_shares(
        self, connection: Connection, lead: FoundLead, user: FoundUser, activity: str
    ) -> None:
        """Share again in the same context, and what names nobody; ask for a request that was never made."""
        right = ShareItem(
            user_id=user.id,
            entity_id=lead.number,
            context_entity_id=activity,
            access_type=1,
            duration_in_minutes=MINUTES,
        )
        seen, goes_well = await self._share(connection, right)
        connection.memory.keep(repeats_harm=not goes_well)
        self._tell(
            "What comes of sharing again by the same activity?",
            "it is taken, and nothing is doubled",
            seen,
            "" if goes_well else "one share to a call",
            documented=False,
        )
        absent = await read(
            connection, leads_where("ProspectAutoId", [_ABSENT_NUMBER], "="), read_leads, tries=1, spared=403
        )
        seen = "not tried: no look-up shows that a number is nobody's"
        if absent == []:
            seen, _ = await self._share(connection, replace(right, entity_id=_ABSENT_NUMBER))
        self._tell("What does a wrong lead number look like?", "the share is refused", seen, documented=False)
        nobody = str(uuid.uuid4())
        users = await read(connection, found_by("user id", nobody), read_users, tries=1, spared=403)
        seen = "not tried: no look-up shows that a GUID is nobody's"
        if users == []:
            seen, _ = await self._share(connection, replace(right, user_id=nobody))
        self._tell("What does a wrong user look like?", "the share is refused", seen, documented=False)
        status = await read(connection, share_status(uuid.uuid4().hex), read_status, tries=1)
        self._tell(
            "What does an unknown request Id look like?", "it is refused", _spelled(status), documented=False
        )

    async def _share(self, connection: Connection, item: ShareItem) -> tuple[str, bool]:
        """Share, and what came of it, in words; whether it was taken, and had not failed when it was asked last."""
        outcome = await read(connection, share_leads(item), read_request_id, tries=1)
        if not isinstance(outcome, Done):
            return _spelled(outcome), False
        patience = [1.0, 2.0, 4.0, 8.0, 16.0]
        while True:
            status = await read(connection, share_status(outcome.id), read_status, tries=1)
            if not patience or not isinstance(status, ShareStatus) or status.verdict != "pending":
                failed = isinstance(status, ShareStatus) and status.verdict == "failed"
                return f"taken; then {_spelled(status)}", not failed
            await asyncio.sleep(patience.pop(0))

    def _tell_spellings(self, lead: FoundLead, user: FoundUser) -> None:
        """By which names answers show the Ids of the lead and the user, of activities and requests."""
        kinds: dict[str, set[str]] = {"lead": {lead.id}, "number": {lead.number}, "user": {user.id}}
        for kind, paths in (("activity", (_CREATE, _BULK)), ("request", (_SHARE, _REVOKE))):
            answers = (each.value for path in paths for each in self._wire.of(path))
            texts = (as_text(text) for value in answers for _, text in _texts(value))
            kinds[kind] = {id_of(text) for text in texts if is_guid(text)} - {lead.id}
        shown: dict[str, set[str]] = {kind: set() for kind in kinds}
        for each in self._wire.exchanges:
            for name, text in _texts(each.value):
                for kind, ids in kinds.items():
                    if id_of(as_text(text)) in ids:
                        shown[kind].add(name)
        seen = "; ".join(f"{kind}: {', '.join(sorted(names))}" for kind, names in shown.items() if names)
        seen = seen or "none was shown"
        self._tell("By which names are Ids shown?", "by any spelling of Id", seen, documented=False)

    # ---------------------------------------------------------------------------------------------- its end

    def _ledgers(self) -> list[LedgerName]:
        """Those of all trials, also before it was known which account the key is of."""
        names = names_of_account(self._settings) | {name_of_account(self._settings)}
        sheets = (
            sheet for name in names for sheet in (self._settings.data_folder / f"verify-{name}").glob("*.csv")
        )
        return [LedgerName.of_sheet(sheet) for sheet in sorted(sheets) if ".results" not in sheet.name]

    async def _revoke_all(self) -> int:
        """Revoke what stands of this trial, and of any before; how many shares stand all the same."""
        left = 0
        for ledger in self._ledgers():
            if ledger.exists() and await self._standing(ledger):
                await do(Revoke(ledger), self._settings, self._watcher, Course(wire_log=self._wire))
                left += await self._standing(ledger)
        return left

    async def _standing(self, ledger: LedgerName) -> int:
        """How many of its shares may stand, those with it that were just being made or revoked when it was cut."""
        async with read_ledger(ledger) as reader:
            shares = [each async for each in reader.shares()]
            being_made = (await reader.counts()).get(State.SHARING, 0)
        return sum(each.ends_at is None or each.ends_at > utc_now() for each in shares) + being_made

    def _tell_revoked(self, since: int, standing: int) -> None:
        calls = self._wire.of(_REVOKE, since)
        if not calls:
            return
        statuses = [
            read_status(each.answer) for each in self._wire.of(_STATUS, since) if isinstance(each.answer, Answer)
        ]
        told = "; ".join(dict.fromkeys(map(_spelled, statuses))) or "no status told"
        seen = f"{plural(standing, 'share')} not revoked: {told}" if standing else f"yes: {told}"
        self._tell("Is a revocation processed?", "it is: ShareStatus 6", seen)

    def _write(self) -> Path:
        """Write what was found out, and the calls by which, without anybody's data."""
        replacing = Replacing()
        answers = [asdict(each) | {"seen": replacing.text(each.seen, in_message=True)} for each in self._answers]
        calls = [replacing.exchange(each.call, each.answer) for each in self._wire.exchanges]
        gone = {
            each.call.path: replacing.text(_spelled(read_status(each.answer)), in_message=True)
            for each in self._wire.exchanges
            if isinstance(each.answer, Answer) and each.answer.status in NOT_THERE and each.call.path not in _NEEDED
        }
        told = {
            "verify": 1,
            "gone": gone,
            "batch_share": __version__,
            "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
        file = self.folder.with_suffix(".json")
        write_private(file, json.dumps(told | {"answers": answers, "calls": calls}, indent=1))
        return file


def _spelled(found: object) -> str:
    """What an answer said, in few words."""
    if isinstance(found, ShareStatus):
        return f"ShareStatus {found.number} “{found.words}” ({found.verdict})"
    words = getattr(found, "words", "")
    kind = type(found).__name__.lower()
    return f"{kind}: {words}" if words else kind


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every text and number in a JSON value, with the name under which it stands; of named values, theirs."""
    if isinstance(value, dict):
        named = next((as_text(value[each]) for each in ("Key", "SchemaName", "Attribute") if value.get(each)), "")
        for each, inside in value.items():
            yield from _texts(inside, named if each == "Value" and named else each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, name)
    else:
        yield name, value
