"""Who is meant: turns the names that rows use for leads and users into Ids, or says why that can't be done.

A Directory holds the answers and judges each row by them, without I/O. What there is a million of is kept in little
memory, bytes beside each other and no object for each: a dict of a million names and the leads they mean takes some
440 MB, the same here about 120.

An Enquiry asks, before a run, for everybody that its rows name: in bulk where the API lets us, else one by one.
Each kind of name has several APIs that know it, and none of them is on every account: where one is missing, refused
or not understood, the next is asked. Whoever none could tell of is not guessed at: `Directory.unanswered`.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from functools import partial
from math import inf
from sys import intern
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeVar

from batch_share.common import Action, Cause, ascii_lower, chunks
from batch_share.leadsquared.pacing import PacerClosed
from batch_share.leadsquared.people import (
    ALL_USERS,
    PAGE,
    FoundLead,
    FoundUser,
    found_by,
    leads_by_ids,
    leads_from,
    leads_where,
    read_leads,
    read_users,
    users_where,
)
from batch_share.ledger.records import Instruction, Lookup
from batch_share.sending.calls import consult
from batch_share.sending.onlookers import ByNumber
from batch_share.sending.session import in_parallel
from batch_share.sheet.columns import LEADS, USERS, Field
from batch_share.sheet.rows import Problem, Ref, ShareRow
from batch_share.sheet.values import digits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from batch_share.leadsquared.protocol import Call, Failure
    from batch_share.sending.session import Connection
    from batch_share.sheet.table import RawRow

_SHELVES: Final = 1 << 14
"""So many that of a million numbers a shelf holds some sixty: 22 MB in all."""

_DIGEST: Final = 16
_ENTRY: Final = _DIGEST + 5

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode
_decode: Final = json.JSONDecoder().raw_decode


class Numbers:
    """A number, not negative and below 2 to the 40, by each of many keys, which are known by their digests."""

    def __init__(self) -> None:
        self._shelves = [b""] * _SHELVES

    def __bool__(self) -> bool:
        return any(self._shelves)

    def get(self, key: object) -> int | None:
        """The key's number, None if it has none."""
        digest, shelf = _where(key)
        entries = self._shelves[shelf]
        at = _find(entries, digest)
        return None if at < 0 else int.from_bytes(entries[at + _DIGEST : at + _ENTRY])

    def put(self, key: object, number: int) -> None:
        """Give the key this number, whichever it had."""
        digest, shelf = _where(key)
        entries = self._shelves[shelf]
        at = _find(entries, digest)
        rest = entries if at < 0 else entries[:at] + entries[at + _ENTRY :]
        self._shelves[shelf] = rest + digest + number.to_bytes(_ENTRY - _DIGEST)

    def setdefault(self, key: object, number: int) -> int:
        """The key's number: this one if it had none."""
        digest, shelf = _where(key)
        entries = self._shelves[shelf]
        at = _find(entries, digest)
        if at >= 0:
            return int.from_bytes(entries[at + _DIGEST : at + _ENTRY])
        self._shelves[shelf] = entries + digest + number.to_bytes(_ENTRY - _DIGEST)
        return number


def _where(key: object) -> tuple[bytes, int]:
    """The digest of a key, a text or a tuple of such and of numbers, and on which shelf it is."""
    text = key if isinstance(key, str) else repr(key)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()
    return digest, int.from_bytes(digest[:2]) % _SHELVES


def _find(entries: bytes, digest: bytes) -> int:
    """Where the entry of `digest` begins, -1 if there is none."""
    at = entries.find(digest)
    while at > 0 and at % _ENTRY:  # within two entries, by chance
        at = entries.find(digest, at + 1)
    return at


class Hashes:
    """The same where a mistake does no harm, and far faster: keys are known by the 64 bits of their hash."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    def setdefault(self, key: object, number: int) -> int:
        """The key's number: this one if it had none."""
        return self._numbers.setdefault(hash(key), number)

    def add_all(self, keys: Iterable[object], numbers: Iterable[int]) -> dict[int, int]:
        """Give each key its number that has none. The places of all others, with the number that theirs has."""
        given = [*numbers]
        found = [*map(self._numbers.setdefault, map(hash, keys), given)]
        if found == given:  # as nearly always
            return {}
        both = zip(found, given, strict=True)
        return {at: before for at, (before, number) in enumerate(both) if before != number}


class PackedTexts:
    """Values such as JSON holds, each a line in one text."""

    def __init__(self) -> None:
        self._text = bytearray()

    def add(self, value: Any) -> int:
        """Keep the value. Returns where."""
        place = len(self._text)
        self._text += _encode(value).encode() + b"\n"
        return place

    def at(self, place: int) -> Any:
        """The value that `add` kept there."""
        return _decode(self._text[place : self._text.index(b"\n", place)].decode())[0]

    def __iter__(self) -> Iterator[Any]:
        place = 0
        while place < len(self._text):
            end = self._text.index(b"\n", place)
            yield _decode(self._text[place:end].decode())[0]
            place = end + 1


class Names:
    """Names of leads and then of users, each once: those of one field after those of another.

    Users are kept as they are: they are few, and in every row.
    """

    def __init__(self, refs: Iterable[Ref]) -> None:
        self._values: dict[Field, PackedTexts] = defaultdict(PackedTexts)
        self._users: dict[Ref, None] = {}
        seen, count = Numbers(), 0
        for ref in refs:
            if ref.field in USERS:
                self._users[ref] = None
            elif seen.setdefault(key_of(ref), count) == count:
                self._values[ref.field].add(ref.value)
                count += 1
        self._count = count + len(self._users)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Ref]:
        for kind, values in self._values.items():
            for value in values:
                yield Ref(kind, value)
        yield from self._users


def key_of(ref: Ref) -> str:
    """The key of a name in `Numbers`."""
    return f"{ref.field}\n{ref.value}"


_NEAREST: Final = 3
"""Activity types that are named where one is not there."""

NO_LEAD = "no lead has this"
NO_USER = "not an active user of the account"
_NOT_ASKED: Final = "was not looked up"


class Nobody(NamedTuple):
    """Why nobody is meant, in words, and of which kind that is."""

    wrong: str
    cause: Cause


@dataclass(slots=True)
class Directory:
    """What is known of leads and users, by the way a row names them.

    Leads, of which there may be a million, are kept in a compact form. `unanswered` are those of whom no API could
    tell, and why: their rows are taken as they stand if they have all Ids and `trusts_ids` says so. `types` are the
    account's activity types, each with its name, if they were told just now; `strange_types` are those of rows that
    are not, or were not, among them, by code or by name; `type_names` those that were ever told. `meant_types` are
    the codes of those that rows name. `kept` names are known from what was kept of earlier look-ups, `asked` are
    still to be looked up.
    """

    _places: Numbers = field(default_factory=Numbers)  # by a lead's name, where in _leads it is
    _leads: PackedTexts = field(default_factory=PackedTexts)
    _users: dict[Ref, FoundUser] = field(default_factory=dict)
    _nobody: dict[Ref, Nobody] = field(default_factory=dict)  # whatever an earlier answer was
    _names: dict[str, str] = field(default_factory=dict)
    unanswered: dict[Ref, str] = field(default_factory=dict)
    trusts_ids: bool = False
    types: dict[int, str] = field(default_factory=dict)
    strange_types: set[int | str] = field(default_factory=set)
    type_names: dict[int, str] = field(default_factory=dict)
    meant_types: dict[str, int] = field(default_factory=dict)
    kept: int = 0
    asked: int = 0
    _called: dict[str, list[int]] = field(default_factory=dict)  # the codes by each name that was asked for

    def learn(self, answers: Iterable[Lookup]) -> None:
        """Take answers in; a later one replaces an earlier."""
        for answer in answers:
            ref = Ref(Field(answer.kind), answer.value)
            if ref.field is Field.EVENT:  # what an earlier run was told: there may be others by now
                if answer.found is None:
                    self.strange_types.add(int(answer.value) if answer.value.isdecimal() else answer.value)
                else:
                    self.type_names[int(answer.value)] = str(answer.found["name"])
                    self._called.clear()
                continue
            if answer.found is None:
                self.unanswered.pop(ref, None)
                self._nobody[ref] = Nobody(intern(answer.problem or ""), answer.cause or Cause.INVALID)
                continue
            self._nobody.pop(ref, None)
            self.unanswered.pop(ref, None)
            if ref.field in USERS:
                self._users[ref] = FoundUser(**answer.found)
            else:
                lead = FoundLead(**answer.found)
                place = self._leads.add((lead.id, lead.number, lead.email, lead.phone))
                self._places.put(key_of(ref), place)

    def learn_unanswered(self, ref: Ref, why: str) -> None:
        """No API could tell of this one. What an earlier run was told of it is not forgotten."""
        if not self.is_found(ref):
            self._nobody[ref] = Nobody(intern(f"could not be looked up: {why}"), Cause.NOT_TOLD)
            self.unanswered[ref] = why

    def unchecked(self, row: ShareRow) -> str | None:
        """Why the Ids of a row that has them all can't be checked; None if they were, or are not all there."""
        lead, user = row.leads[0], row.users[0]
        if lead in self.unanswered and [ref.field for ref in row.leads[:2]] != [Field.LEAD_ID, Field.LEAD_NUMBER]:
            return None
        if user in self.unanswered and user.field is not Field.USER_ID:
            return None
        return self.unanswered.get(lead, self.unanswered.get(user))

    def is_found(self, ref: Ref) -> bool:
        """Whether `ref` is known to name somebody."""
        if ref in self._nobody:  # by a later answer, whatever an earlier one named
            return False
        return ref in self._users if ref.field in USERS else self._places.get(key_of(ref)) is not None

    def disagrees(self, refs: Sequence[Ref]) -> bool:
        """Whether whom the first of these names is not called as the others say."""
        answer = self._answer(refs[0])
        return isinstance(answer, FoundLead | FoundUser) and any(_wrong(refs, answer, str))

    def contradicts(self, lead: FoundLead) -> bool:
        """Whether another lead is known by this one's number."""
        known = self._answer(Ref(Field.LEAD_NUMBER, lead.number))
        return isinstance(known, FoundLead) and known.id != lead.id

    def forget(self, ref: Ref) -> None:
        """Let nobody be known by this name until it was looked up."""
        self._nobody[ref] = Nobody(_NOT_ASKED, Cause.INVALID)

    def user_name(self, user_id: str) -> str:
        """What people call a user: name and e-mail address if they are known, else the Id."""
        if not self._names:
            self._names = {user.id: f"{user.name} <{user.email}>" for user in self._users.values()}
        return self._names.get(user_id, user_id)

    def user_of(self, refs: Sequence[Ref]) -> str | None:
        """The Id of the user whom all of these name, as far as is known; None if nobody is."""
        answer = self._answer(refs[0]) if refs else None
        if not isinstance(answer, FoundUser) or any(_wrong(refs, answer, str)):
            return None
        return answer.id

    def resolve(self, row: ShareRow, raw: RawRow, header: Callable[[Field], str]) -> Instruction | list[Problem]:
        """What the row asks for, with Ids; or what is wrong.

        The surest name of the lead and of the user was looked up; whatever else the row says of them must agree.
        """
        lead, user = self._lead(row), self._user(row)
        wrong = [*_wrong(row.leads, lead, header), *_wrong(row.users, user, header)]
        if wrong or not isinstance(lead, FoundLead) or not isinstance(user, FoundUser):
            return [Problem(raw.number, header(ref.field), ref.value, *why) for ref, why in wrong]
        if row.action.shares and (strange := self.strange(row.event)):
            self.strange_types.add(row.event)
            return [Problem(raw.number, header(Field.EVENT), str(row.event), strange, Cause.NO_TYPE)]
        event = self.code_of(row.event)
        assert event is not None  # noqa: S101 - else it is strange
        if isinstance(row.event, str):
            self.meant_types[type_key(row.event)] = event
        return Instruction(
            lead_id=lead.id,
            lead_number=lead.number,
            user_id=user.id,
            access=row.access,
            duration=row.duration,
            event=event,
            note=row.note,
            until=row.until.replace(tzinfo=None) if row.until else None,
            start=row.start.replace(tzinfo=None) if row.start else None,
            custom=dict(row.custom) or None,
            action=row.action,
        )

    def learn_types(self, types: dict[int, str]) -> bool:
        """Take in what the account's activity types are called: whether one is there that was not before."""
        self.types = types
        self.type_names |= types
        self._called.clear()
        found = {event for event in self.strange_types if types and self.code_of(event) in types}
        self.strange_types -= found
        return bool(found)

    def code_of(self, event: int | str) -> int | None:
        """The code of an activity type that a row gives by its code or its name; None if no single one is meant."""
        if isinstance(event, int):
            return event
        codes = self._codes(event)
        return codes[0] if len(codes) == 1 else None

    def type_name(self, code: int) -> str:
        """What an activity type is called, "" where nobody told."""
        return self.type_names.get(code, "")

    def strange(self, event: int | str) -> str:
        """What is wrong with an activity type that the account has not, or has twice; "" where it is right.

        Also where nobody knows, but for one that is given by its name.
        """
        types = self.types or ({} if isinstance(event, int) else self.type_names)
        if isinstance(event, int):
            if not types or event in types:
                return ""
            nearest = sorted(sorted(types, key=lambda code: (abs(code - event), code))[:_NEAREST])
            it_has = ", ".join(f"{code} ({types[code]})" for code in nearest)
            return f"the account has no activity type {event}; it has {it_has}"
        if not types:
            return (
                "is not the code of an activity type, and LeadSquared does not tell their names: give its code, "
                "such as 201"
            )
        codes = self._codes(event)
        if len(codes) == 1:
            return ""
        if codes:
            either = " or ".join(map(str, codes))
            return f"the account has {len(codes)} activity types of this name: give the code, {either}"
        meant = SequenceMatcher(b=type_key(event))
        like = {}
        for code, name in types.items():
            meant.set_seq1(type_key(name))
            like[code] = meant.ratio()
        nearest = sorted(types, key=lambda code: (-like[code], code))[:_NEAREST]
        it_has = ", ".join(f"{code} ({types[code]})" for code in nearest)
        return f"the account has no activity type {event!r}; it has {it_has}"

    def _codes(self, name: str) -> list[int]:
        """The types that are called so, as they are called now if that was told."""
        if name not in self._called:  # row after row says the same
            types = (self.types or self.type_names).items()
            self._called[name] = sorted(code for code, called in types if type_key(called) == type_key(name))
        return self._called[name]

    def _lead(self, row: ShareRow) -> FoundLead | FoundUser | Nobody | None:
        """Who is meant; as the row says where nobody can tell, which is for the plan to trust or not."""
        first, *others = row.leads
        if first not in self.unanswered or self.unchecked(row) is None:
            return self._answer(first)
        said = {ref.field: ref.value for ref in others}
        number = said[Field.LEAD_NUMBER]
        return FoundLead(first.value, number, said.get(Field.LEAD_EMAIL, ""), said.get(Field.LEAD_PHONE, ""))

    def _user(self, row: ShareRow) -> FoundLead | FoundUser | Nobody | None:
        """Whoever lost the account may still have what is to be revoked: then the Id is enough."""
        ref = row.users[0]
        if ref in self.unanswered and self.unchecked(row) is not None:
            email = next((other.value for other in row.users[1:]), "")
            return FoundUser(ref.value, email, "", active=True)
        answer = self._answer(ref)
        if row.action is not Action.REVOKE or not isinstance(answer, Nobody):
            return answer
        if ref.field is Field.USER_ID:
            return FoundUser(ref.value, "", "", active=False)
        return Nobody(f"{answer.wrong}: what it has can be revoked by its {Field.USER_ID}", answer.cause)

    def _answer(self, ref: Ref) -> FoundLead | FoundUser | Nobody | None:
        """Who is meant, or why nobody is; None if nobody was asked."""
        if ref in self._nobody:
            return self._nobody[ref]
        if ref.field in USERS:
            return self._users.get(ref)
        place = self._places.get(key_of(ref))
        return None if place is None else FoundLead(*self._leads.at(place))


def type_key(name: str) -> str:
    """What two spellings of an activity type's name have in common, which differ in case and blanks alone."""
    return " ".join(name.split()).casefold()


def _wrong(
    refs: Sequence[Ref], answer: FoundLead | FoundUser | Nobody | None, header: Callable[[Field], str]
) -> Iterator[tuple[Ref, Nobody]]:
    """What is wrong with the names of one lead, or of one user, of whom `answer` is what the first led to."""
    first, *others = refs
    if answer is None or isinstance(answer, Nobody):
        yield first, answer or Nobody(_NOT_ASKED, Cause.INVALID)
        return
    for ref in others:
        if (real := _said(answer, ref.field)) and not is_meant(ref, answer):
            wrong = f"is not that of {header(first.field)} {first.value!r}, which has {real!r}"
            yield ref, Nobody(wrong, Cause.INVALID)


def answer_for(ref: Ref, found: Iterable[FoundLead | FoundUser]) -> Lookup:
    """Which of those who came back is the one asked for: the API may answer with others.

    A user who is not active can't own an activity.
    """
    meant = [each for each in found if is_meant(ref, each)]
    active = [each for each in meant if not isinstance(each, FoundUser) or each.active]
    if len({each.id for each in active}) > 1:
        wrong = f"found {len(active)} times: use the Id instead"
        return Lookup(ref.field, ref.value, None, wrong, Cause.AMBIGUOUS)
    for each in active:
        if each.is_whole:
            return Lookup(ref.field, ref.value, asdict(each))
    for each in meant:
        if isinstance(each, FoundUser) and not each.active:
            wrong = f"{each.name} is no longer an active user of the account"
            return Lookup(ref.field, ref.value, None, wrong, Cause.NO_USER)
    if ref.field in LEADS:
        wrong = f"{NO_LEAD} {ref.field.removeprefix('Lead ').lower()}"
        return Lookup(ref.field, ref.value, None, wrong, Cause.NO_LEAD)
    return Lookup(ref.field, ref.value, None, NO_USER, Cause.NO_USER)


def is_meant(ref: Ref, found: FoundLead | FoundUser) -> bool:
    """Whether this is the one that `ref` names; by a phone number, be it without country code or leading zero."""
    real = _said(found, ref.field)
    if ref.field is not Field.LEAD_PHONE:
        return ref.value == ascii_lower(real)
    shorter, longer = sorted((digits(ref.value).lstrip("0"), digits(real).lstrip("0")), key=len)
    return len(shorter) >= 6 and longer.endswith(shorter) and len(longer) - len(shorter) <= 3


def _said(found: FoundLead | FoundUser, named: Field) -> str:
    """What LeadSquared says of the lead, or of the user, in the way that a row may name one."""
    if isinstance(found, FoundUser):
        return found.id if named is Field.USER_ID else found.email
    return {
        Field.LEAD_ID: found.id,
        Field.LEAD_NUMBER: found.number,
        Field.LEAD_EMAIL: found.email,
        Field.LEAD_PHONE: found.phone,
    }[named]


# ------------------------------------------------------------------------------------------------- looking up

T = TypeVar("T")

LOOKING_UP: Final = "looking up leads and users"
"""What the progress display calls it."""

IN_PAGE: Final = 100
"""Values in one IN: a page of leads holds 1,000, but nobody says how long the list may be."""

STRETCH: Final = 20_000
"""Leads that are asked for before the next are named: a million names at once would take 160 MB."""

PROBES: Final = 5
"""Leads looked up alone, to have one that is there, before an API for many is believed or given up for all."""

_NOBODY: Final = {Field.LEAD_NUMBER: "999999999999999", Field.LEAD_EMAIL: "nobody@batch-share.invalid"}
"""What no lead has, to try whether IN means what it says."""

_NAMES: Final[dict[Field, Literal["ProspectAutoId", "EmailAddress"]]] = {
    Field.LEAD_NUMBER: "ProspectAutoId",
    Field.LEAD_EMAIL: "EmailAddress",
}

_ALONE: Final[dict[Field, tuple[Callable[[str], Call], ...]]] = {
    Field.LEAD_ID: (partial(found_by, "lead id"),),
    Field.LEAD_NUMBER: (lambda number: leads_where("ProspectAutoId", [number], "="),),
    Field.LEAD_EMAIL: (lambda email: leads_where("EmailAddress", [email], "="), partial(found_by, "lead email")),
    Field.LEAD_PHONE: (partial(found_by, "lead phone"), lambda phone: leads_where("Phone", [phone], "=")),
    Field.USER_ID: (partial(found_by, "user id"), partial(users_where, "UserID")),
    Field.USER_EMAIL: (partial(found_by, "user email"), partial(users_where, "EmailAddress")),
}
"""The calls that look one name up, in the order in which they are tried."""


SHORTEST_LIST: Final = 50
"""Leads asked for at least where they are listed in order: so many that what is sorted as text does not look sorted
by number."""

CHECKED: Final = 20
"""Of so many leads that a list does not show, one is asked for alone before that is believed of the others: a
server that leaves out a few in a hundred is noticed where there are thousands. Of fewer, `PROBES` are."""


def is_plain(number: str) -> bool:
    """Whether a lead's number is written as a server writes it, and surely fits into its numbers."""
    return number.isascii() and number.isdecimal() and len(number) <= 18 and number == str(int(number))


def ranges_of(numbers: Iterable[int]) -> Iterator[list[int]]:
    """Lead numbers, in order, by ranges that a page surely holds: no two leads have the same number.

    Those of a range have as many digits: should a server compare them as text, the order is the same.
    """
    each: list[int] = []
    for number in numbers:
        if each and number >= min(each[0] + PAGE, 10 ** len(str(each[0]))):
            yield each
            each = []
        each.append(number)
    if each:
        yield each


def calls_by_number(leads: int, numbers: Iterable[int]) -> ByNumber:
    """How many calls look so many leads up by number, in each way. Of these `numbers` are plain."""
    ranges = sum(1 for some in chunks(numbers, STRETCH) for _ in ranges_of(sorted({*some})))
    # To try many at once it takes one that is there, and IN; and to try ranges, one more.
    return ByNumber(leads, min(leads, 2 + -(-leads // IN_PAGE)), min(leads, 3 + ranges))


def calls_for(leads: Mapping[Field, int], users: int, by_number: ByNumber) -> tuple[int, int]:
    """How many calls look so many people up: at least, and where the account has no API for many.

    One of them asks for the activity types. Leads are counted by the surest thing that is known of them.
    """
    by_ids, by_email, total = leads.get(Field.LEAD_ID, 0), leads.get(Field.LEAD_EMAIL, 0), sum(leads.values())
    least = leads.get(Field.LEAD_PHONE, 0) + -(-by_ids // PAGE) + min(by_email, 2 + -(-by_email // IN_PAGE))
    least += min(by_number.in_lists, by_number.in_ranges)
    types, tries = bool(total or users), 2 * (by_number.leads > 1) + (by_email > 1)
    return least + bool(users) + types, total + tries + bool(by_ids) + bool(users) + users + types


class Notebook(Protocol):
    """What keeps answers: the ledger among others."""

    async def note_lookups(self, answers: Sequence[Lookup]) -> None: ...


@dataclass(slots=True)
class Enquiry:
    """Asks for leads and users over one connection; what comes back goes to the directory and the notebooks.

    What ends it early is `connection.stop.error`.
    """

    connection: Connection
    directory: Directory
    notebooks: Sequence[Notebook]
    _in_works: dict[Field, bool] = field(default_factory=dict, init=False)  # as far as it was tried
    _lists: bool | None = field(default=None, init=False)  # leads in the order of their numbers, as far as tried
    _highest: int = field(default=-1, init=False)  # number of a lead that is there
    _end: float = field(default=inf, init=False)  # from where on none is, as an empty list says

    async def ask(self, refs: Names | Collection[Ref]) -> None:
        """Look up all of `refs`: leads by stretches, then the users. Nothing is changed in the account."""
        self.connection.tally.phase = LOOKING_UP
        self.connection.tally.to_look_up(len(refs))
        users: dict[Ref, None] = {}
        try:
            for stretch in chunks(refs, STRETCH):
                if self.connection.stop.asked:
                    return
                wanted: dict[Field, list[Ref]] = {}
                for ref in dict.fromkeys(stretch):
                    if ref.field in USERS:
                        users[ref] = None
                    else:
                        wanted.setdefault(ref.field, []).append(ref)
                await self._each(chunks(wanted.get(Field.LEAD_ID, []), PAGE), self._ids)
                for each in (Field.LEAD_NUMBER, Field.LEAD_EMAIL):
                    await self._by_value(wanted.get(each, []))
                await self._each(wanted.get(Field.LEAD_PHONE, []), self._alone)
            await self._users(sorted(users, key=lambda ref: USERS.index(ref.field)))
        except PacerClosed:
            return

    # ------------------------------------------------------------------------------------------ many at once

    async def _ids(self, refs: Sequence[Ref]) -> None:
        """By GUID, up to 1,000. Of those that are missing some are asked for alone before that is believed."""
        found = await consult(self.connection, leads_by_ids([ref.value for ref in refs]), read_leads)
        if not isinstance(found, list):
            await self._each(refs, self._alone)
            return
        left = await self._learn_found(refs, found)
        # It may leave out Ids, or leads: all are asked for alone unless the first few of them are really not there.
        probes = left if any(not (lead.id and lead.number) for lead in found) else left[:PROBES]
        await self._each(probes, self._alone)
        rest = left[len(probes) :]
        if any(ref in self.directory.unanswered or self.directory.is_found(ref) for ref in probes):
            await self._each(rest, self._alone)
        else:
            await self._learn([answer_for(ref, ()) for ref in rest])

    async def _by_value(self, refs: Sequence[Ref]) -> None:
        """By number or e-mail address: with IN if that works here, numbers else by ranges; who is left, alone."""
        left = list(refs)
        if await self._takes_many(left):
            if len(left) > 1:
                await self._each(chunks(left, IN_PAGE), self._many)
        elif left and left[0].field is Field.LEAD_NUMBER:
            left = await self._by_ranges(left)
        await self._each([ref for ref in left if not self.directory.is_found(ref)], self._alone)

    async def _takes_many(self, left: list[Ref]) -> bool:
        """Whether IN finds one of these that is there, and nobody else; some leave the list to try it, but once."""
        if left and left[0].field in self._in_works:
            return self._in_works[left[0].field]
        # From all over the sheet: where it begins may be old leads, which were deleted together.
        known = None
        for ref in left[:: max(1, len(left) // PROBES)][:PROBES]:
            left.remove(ref)
            await self._each([ref], self._alone)
            if self.directory.is_found(ref):
                known = ref
                break
        if known is None or len(left) < 2:
            return False
        works = False
        if not self.connection.stop.asked:  # no page shows how its values are written
            values = [_NOBODY[known.field], known.value]
            found = await consult(self.connection, leads_where(_NAMES[known.field], values, "IN"), read_leads)
            if isinstance(found, list):
                answer = answer_for(known, found)
                works = answer.found is not None and all(lead.id == answer.found["id"] for lead in found)
        self._in_works[known.field] = works
        if known.field is Field.LEAD_NUMBER:
            self._highest = int(known.value)
        return works

    async def _many(self, refs: Sequence[Ref]) -> None:
        call = leads_where(_NAMES[refs[0].field], [ref.value for ref in refs], "IN")
        found = await consult(self.connection, call, read_leads)
        await self._learn_found(refs, found if isinstance(found, list) else ())

    async def _by_ranges(self, refs: Sequence[Ref]) -> list[Ref]:
        """By number where IN does not work: leads in the order of their numbers, where that takes fewer calls.

        Returns who may still have to be asked for alone. It is tried first with a number that is there. Every
        answer must be in order and in its range, and deny nothing that another one showed; where one is not, none
        is believed of those whom it lacks. Where all are, many may be missing: leads that were deleted.
        """
        plain = sorted(int(ref.value) for ref in refs if is_plain(ref.value))
        ranges = [each for each in ranges_of(plain) if len(each) > 1]
        saved = sum(map(len, ranges)) - len(ranges)
        if self._lists is False or self._highest < 0 or saved < 2 or self.connection.stop.asked:
            return [*refs]
        missing: list[Ref] = []
        if self._lists is None:
            # From the number before: an answer to = instead would not have the one that is there.
            known, start = self._highest, max(0, self._highest - 1)
            listed = await self._listed(start, PAGE)
            self._lists = any(lead.number == str(known) for lead in listed or ())
            if not listed or not self._lists:
                return [*refs]
            reach = int(listed[-1].number)
            there = [number for number in plain if start <= number <= reach]
            missing += await self._learn_found([Ref(Field.LEAD_NUMBER, str(each)) for each in there], listed)
            rest = [number for number in plain if not start <= number <= reach]
            ranges = [each for each in ranges_of(rest) if len(each) > 1]
        await self._each(ranges, partial(self._range, missing))
        if not self._lists or self.connection.stop.asked:
            return [*refs]
        probes = missing[:: max(1, min(CHECKED, len(missing) // PROBES))]  # from all over
        await self._each(probes, self._alone)
        if any(ref in self.directory.unanswered or self.directory.is_found(ref) for ref in probes):
            self._lists = False
            missing = probes
        elif not self.connection.stop.asked:
            await self._learn([answer_for(ref, ()) for ref in set(missing).difference(probes)])
        settled = set(missing)
        return [ref for ref in refs if ref not in settled]

    async def _range(self, missing: list[Ref], numbers: Sequence[int]) -> None:
        """Those of a range, by as many pages as it takes: none costs more than asking for one of them alone."""
        while len(numbers) > 1 and self._lists and not self.connection.stop.asked:
            start, end = numbers[0], numbers[-1]
            listed = await self._listed(start, max(end - start + 1, SHORTEST_LIST))
            if listed is None:
                return
            reach = int(listed[-1].number) if listed else end  # an account may show fewer than it is asked for
            there = [Ref(Field.LEAD_NUMBER, str(number)) for number in numbers if number <= reach]
            missing += await self._learn_found(there, listed)
            numbers = numbers[len(there) :]

    async def _listed(self, start: int, count: int) -> list[FoundLead] | None:
        """The first leads from a number on; None, and no list is asked for again, where it can't be believed."""
        found = await consult(self.connection, leads_from(start, count), read_leads)
        if isinstance(found, list):
            numbers = [int(lead.number) if lead.id and is_plain(lead.number) else -1 for lead in found]
            is_right = numbers == sorted(set(numbers)) and len({lead.id for lead in found}) == len(found)
            if numbers:
                is_right = is_right and numbers[0] >= start
                self._highest = max(self._highest, numbers[-1])
            else:  # nobody is there from this number on, it says
                self._end = min(self._end, start)
            if is_right and self._highest < self._end and not any(map(self.directory.contradicts, found)):
                return found
        self._lists = False
        return None

    async def _users(self, refs: Sequence[Ref]) -> None:
        """A large account's list may be incomplete: whoever it lacks is asked for before a row is refused."""
        if not refs or self.connection.stop.asked:
            return
        users = await consult(self.connection, ALL_USERS, read_users)
        listed = users if isinstance(users, list) else []
        named: dict[str, list[FoundUser]] = defaultdict(list)  # of thousands, each would be held against all others
        for user in listed:
            for name in {user.id, ascii_lower(user.email)}:
                named[name].append(user)
        await self._learn([answer_for(ref, named[ref.value]) for ref in refs if ref.value in named])
        await self._each([ref for ref in refs if ref.value not in named], self._alone)

    # ------------------------------------------------------------------------------------------ one alone

    async def _alone(self, ref: Ref) -> None:
        """Ask one API after the other, until one tells of this name, be it that nobody has it."""
        why = ""
        for make in _ALONE[ref.field]:
            found: Sequence[FoundLead | FoundUser] | Failure
            if ref.field in USERS:
                found = await consult(self.connection, make(ref.value), read_users)
            else:
                found = await consult(self.connection, make(ref.value), read_leads)
            if not isinstance(found, list):
                why = why or found.words
                continue
            meant = [each for each in found if is_meant(ref, each)]
            if not found or (meant and all(each.is_whole for each in meant)):
                await self._learn([answer_for(ref, meant)])
                return
            why = why or ("the answer shows no Id, or no number" if meant else "the answer was not about this one")
        self.directory.learn_unanswered(ref, why)
        self.connection.tally.people += 1
        for notebook in self.notebooks:  # it is asked again next time, as after an answer in vain
            await notebook.note_lookups(
                [Lookup(ref.field, ref.value, None, f"could not be looked up: {why}", Cause.NOT_TOLD)]
            )

    # ------------------------------------------------------------------------------------------ plumbing

    async def _learn_found(self, refs: Sequence[Ref], leads: Sequence[FoundLead]) -> list[Ref]:
        """Learn who of `refs`, which are of one kind, was found among so many; the others."""
        by_name: dict[str, list[FoundLead]] = defaultdict(list)
        for lead in leads if refs else ():
            by_name[ascii_lower(_said(lead, refs[0].field))].append(lead)
        answers = [answer_for(ref, by_name.get(ref.value, ())) for ref in refs]
        await self._learn([each for each in answers if each.found is not None])
        return [ref for ref, each in zip(refs, answers, strict=True) if each.found is None]

    async def _learn(self, answers: Sequence[Lookup]) -> None:
        self.directory.learn(answers)
        self.connection.tally.people += len(answers)
        for notebook in self.notebooks:
            await notebook.note_lookups(answers)

    async def _each(self, things: Iterable[T], ask: Callable[[T], Awaitable[None]]) -> None:
        """Ask for each, several at a time."""
        left = iter(things)

        async def work() -> None:
            while not self.connection.stop.asked and (thing := next(left, None)) is not None:
                await ask(thing)

        await in_parallel(self.connection, work)
