"""Who is meant: turns the names that rows use for leads and users into Ids, or says why that can't be done.

No I/O: `lookup` asks LeadSquared, this module holds the answers and judges each row by them. What there is a
million of is kept in little memory, bytes beside each other and no object for each: a dict of a million names and
the leads they mean takes some 440 MB, the same here about 120.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from sys import intern
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from batch_share.common import Action, Cause, ascii_lower
from batch_share.leadsquared.people import FoundLead, FoundUser
from batch_share.ledger.records import Instruction, Lookup
from batch_share.sheet.columns import LEADS, USERS, Field
from batch_share.sheet.rows import Problem, Ref, ShareRow
from batch_share.sheet.values import digits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

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

    def get(self, key: str) -> int | None:
        """The key's number, None if it has none."""
        digest, shelf = _where(key)
        return _number(self._shelves[shelf], _find(self._shelves[shelf], digest))

    def put(self, key: str, number: int) -> None:
        """Give the key this number, whichever it had."""
        digest, shelf = _where(key)
        entries = self._shelves[shelf]
        at = _find(entries, digest)
        rest = entries if at < 0 else entries[:at] + entries[at + _ENTRY :]
        self._shelves[shelf] = rest + digest + number.to_bytes(_ENTRY - _DIGEST)

    def setdefault(self, key: str, number: int) -> int:
        """The key's number: this one if it had none."""
        digest, shelf = _where(key)
        entries = self._shelves[shelf]
        had = _number(entries, _find(entries, digest))
        if had is not None:
            return had
        self._shelves[shelf] = entries + digest + number.to_bytes(_ENTRY - _DIGEST)
        return number


def _where(key: str) -> tuple[bytes, int]:
    """The key's digest, and on which shelf it is."""
    digest = _digest(key)
    return digest, int.from_bytes(digest[:2]) % _SHELVES


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def _find(entries: bytes, digest: bytes) -> int:
    """Where the entry of `digest` begins, -1 if there is none."""
    at = entries.find(digest)
    while at > 0 and at % _ENTRY:  # within two entries, by chance
        at = entries.find(digest, at + 1)
    return at


def _number(entries: bytes, at: int) -> int | None:
    return None if at < 0 else int.from_bytes(entries[at + _DIGEST : at + _ENTRY])


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
        return self._value(place, self._text.index(b"\n", place))

    def __iter__(self) -> Iterator[Any]:
        place = 0
        while place < len(self._text):
            end = self._text.index(b"\n", place)
            yield self._value(place, end)
            place = end + 1

    def _value(self, start: int, end: int) -> Any:
        return _decode(self._text[start:end].decode())[0]


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
                self._places.put(key_of(ref), self._leads.add(_packed(FoundLead(**answer.found))))

    def learn_unanswered(self, ref: Ref, why: str) -> None:
        """No API could tell of this one. What an earlier run was told of it is not forgotten."""
        if not self.is_found(ref):
            self._nobody[ref] = Nobody(intern(f"could not be looked up: {why}"), Cause.INVALID)
            self.unanswered[ref] = why

    def unchecked(self, row: ShareRow) -> str | None:
        """Why the Ids of a row that has them all can't be checked; None if they were, or are not all there."""
        lead, user = row.leads[0], row.users[0]
        if lead in self.unanswered and [ref.field for ref in row.leads[:2]] != [Field.LEAD_ID, Field.LEAD_NUMBER]:
            return None
        if user in self.unanswered and user.field is not Field.USER_ID:
            return None
        return self.unanswered.get(lead, self.unanswered.get(user))

    def is_unanswered(self, row: ShareRow) -> bool:
        """Whether no API could tell of its lead, or of its user."""
        return row.leads[0] in self.unanswered or row.users[0] in self.unanswered

    def is_found(self, ref: Ref) -> bool:
        """Whether `ref` is known to name somebody."""
        if ref in self._nobody:  # by a later answer, whatever an earlier one named
            return False
        return ref in self._users if ref.field in USERS else self._places.get(key_of(ref)) is not None

    def disagrees(self, refs: Sequence[Ref]) -> bool:
        """Whether whom the first of these names is not called as the others say."""
        answer = self._answer(refs[0])
        return isinstance(answer, FoundLead | FoundUser) and any(_wrong(refs, answer, str))

    def forget(self, ref: Ref) -> None:
        """Let nobody be known by this name until it was looked up."""
        self._nobody[ref] = Nobody(_NOT_ASKED, Cause.INVALID)

    def unfound(self) -> list[Ref]:
        """Everybody who was asked for in vain: they may be there by now."""
        return list(self._nobody)

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

    def learn_names(self, types: Mapping[int, str]) -> None:
        """Take in what activity types were called a while ago: there may be others by now."""
        self.type_names |= types
        self._called.clear()

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
            nearest = sorted(types, key=lambda code: (abs(code - event), code))[:_NEAREST]
            return f"the account has no activity type {event}; it has {self._named(sorted(nearest), types)}"
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
        return f"the account has no activity type {event!r}; it has {self._named(nearest, types)}"

    def _codes(self, name: str) -> list[int]:
        """The types that are called so, as they are called now if that was told."""
        if name not in self._called:  # row after row says the same
            types = (self.types or self.type_names).items()
            self._called[name] = sorted(code for code, called in types if type_key(called) == type_key(name))
        return self._called[name]

    @staticmethod
    def _named(codes: Iterable[int], types: Mapping[int, str]) -> str:
        return ", ".join(f"{code} ({types[code]})" for code in codes)

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


def _packed(lead: FoundLead) -> Sequence[str]:
    return lead.id, lead.number, lead.email, lead.phone


def _wrong(
    refs: Sequence[Ref], answer: FoundLead | FoundUser | Nobody | None, header: Callable[[Field], str]
) -> Iterator[tuple[Ref, Nobody]]:
    """What is wrong with the names of one lead, or of one user, of whom `answer` is what the first led to."""
    first, *others = refs
    if answer is None or isinstance(answer, Nobody):
        yield first, answer or Nobody(_NOT_ASKED, Cause.INVALID)
        return
    for ref in others:
        real = _said(answer, ref.field) if isinstance(answer, FoundLead) else _called(answer, ref)
        if real and not _agree(ref, real):
            wrong = f"is not that of {header(first.field)} {first.value!r}, which has {real!r}"
            yield ref, Nobody(wrong, Cause.INVALID)


def _agree(ref: Ref, real: str) -> bool:
    return same_phone(ref.value, real) if ref.field is Field.LEAD_PHONE else ref.value == ascii_lower(real)


def answers_for_leads(refs: Sequence[Ref], leads: Iterable[FoundLead]) -> list[Lookup]:
    """The same for many refs of one kind, of which each finds its leads at once."""
    if refs[0].field is Field.LEAD_PHONE:  # a phone number has more spellings than one
        return [answer_for(ref, leads) for ref in refs]
    by_name: dict[str, list[FoundLead]] = defaultdict(list)
    for lead in leads:
        by_name[ascii_lower(_said(lead, refs[0].field))].append(lead)
    return [answer_for(ref, by_name.get(ref.value, ())) for ref in refs]


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
    """Whether this is the one that `ref` names."""
    if isinstance(found, FoundLead):
        return _agree(ref, _said(found, ref.field))
    return ref.value == ascii_lower(_called(found, ref))


def _called(user: FoundUser, ref: Ref) -> str:
    """What LeadSquared says of the user, in the way that `ref` names one."""
    return user.id if ref.field is Field.USER_ID else user.email


def _said(lead: FoundLead, named: Field) -> str:
    """What LeadSquared says of the lead, in the way that a row may name it."""
    return {
        Field.LEAD_ID: lead.id,
        Field.LEAD_NUMBER: lead.number,
        Field.LEAD_EMAIL: lead.email,
        Field.LEAD_PHONE: lead.phone,
    }[named]


def same_phone(one: str, other: str) -> bool:
    """Whether two numbers are the same, be it that one lacks its country code or a leading zero."""
    first, second = digits(one).lstrip("0"), digits(other).lstrip("0")
    shorter, longer = sorted((first, second), key=len)
    return len(shorter) >= 6 and longer.endswith(shorter) and len(longer) - len(shorter) <= 3
