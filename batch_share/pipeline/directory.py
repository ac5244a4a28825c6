"""Who is meant: turns the names that rows use for leads and users into Ids, or says why that can't be done.

No I/O: `lookup` asks LeadSquared, this module holds the answers and judges each row by them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from sys import intern
from typing import TYPE_CHECKING, Any

from batch_share.action import Action
from batch_share.leadsquared.lookups import FoundLead, FoundUser
from batch_share.ledger.records import Instruction, Lookup
from batch_share.pipeline.compact import Lines, Numbers, key_of
from batch_share.sheet.columns import LEADS, USERS, Field
from batch_share.sheet.rows import Problem, Ref, ShareRow
from batch_share.sheet.values import digits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from batch_share.sheet.table import RawRow

NO_LEAD = "no lead has this"
NO_USER = "not an active user of the account"


@dataclass(slots=True)
class Directory:
    """What is known of leads and users, by the way a row names them.

    Leads, of which there may be a million, are kept in a compact form.
    """

    _places: Numbers = field(default_factory=Numbers)  # by a lead's name, where in _leads it is
    _leads: Lines = field(default_factory=Lines)
    _users: dict[Ref, FoundUser] = field(default_factory=dict)
    _nobody: dict[Ref, str] = field(default_factory=dict)  # why nobody is meant, whatever an earlier answer was
    _names: dict[str, str] = field(default_factory=dict)

    def learn(self, answers: Iterable[Lookup]) -> None:
        """Take answers in; a later one replaces an earlier."""
        for answer in answers:
            ref = Ref(Field(answer.kind), answer.value)
            if answer.found is None:
                self._nobody[ref] = intern(answer.problem or "")
                continue
            self._nobody.pop(ref, None)
            if ref.field in USERS:
                self._users[ref] = FoundUser(**answer.found)
            else:
                self._places.put(key_of(ref), self._leads.add(_packed(FoundLead(**answer.found))))

    def is_found(self, ref: Ref) -> bool:
        """Whether `ref` is known to name somebody."""
        return ref not in self._nobody and self._is_somebody(ref)

    def unfound(self) -> list[Ref]:
        """Everybody who was asked for in vain: they may be there by now."""
        return list(self._nobody)

    def is_answered(self, ref: Ref) -> bool:
        """Whether `ref` has been asked for, whatever came back."""
        return ref in self._nobody or self._is_somebody(ref)

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
        lead, user = self._answer(row.leads[0]), self._user(row)
        wrong = [*_wrong(row.leads, lead, header), *_wrong(row.users, user, header)]
        if wrong or not isinstance(lead, FoundLead) or not isinstance(user, FoundUser):
            return [Problem(raw.number, header(ref.field), ref.value, why) for ref, why in wrong]
        return Instruction(
            lead_id=lead.id,
            lead_number=lead.number,
            user_id=user.id,
            access=row.access,
            duration=row.duration,
            event=row.event,
            note=row.note,
            until=row.until.replace(tzinfo=None) if row.until else None,
            start=row.start.replace(tzinfo=None) if row.start else None,
            custom=dict(row.custom) or None,
            action=row.action,
        )

    def _user(self, row: ShareRow) -> FoundLead | FoundUser | str | None:
        """Whoever lost the account may still have what is to be taken back: then the Id is enough."""
        ref = row.users[0]
        answer = self._answer(ref)
        if row.action is not Action.REVOKE or not isinstance(answer, str):
            return answer
        if ref.field is Field.USER_ID:
            return FoundUser(ref.value, "", "", active=False)
        return f"{answer}: what it has can be taken back by its {Field.USER_ID}"

    def _answer(self, ref: Ref) -> FoundLead | FoundUser | str | None:
        """Who is meant, or why nobody is; None if nobody was asked."""
        if ref in self._nobody:
            return self._nobody[ref]
        if ref.field in USERS:
            return self._users.get(ref)
        place = self._places.get(key_of(ref))
        return None if place is None else FoundLead(*self._leads.at(place))

    def _is_somebody(self, ref: Ref) -> bool:
        """Whether an answer named somebody, be it that a later one did not."""
        return ref in self._users if ref.field in USERS else self._places.get(key_of(ref)) is not None


def _packed(lead: FoundLead) -> Sequence[str]:
    return lead.id, lead.number, lead.email, lead.phone


def _wrong(
    refs: Sequence[Ref], answer: FoundLead | FoundUser | str | None, header: Callable[[Field], str]
) -> Iterator[tuple[Ref, str]]:
    """What is wrong with the names of one lead, or of one user, of whom `answer` is what the first led to."""
    first, *others = refs
    if answer is None or isinstance(answer, str):
        yield first, "was not looked up" if answer is None else answer
        return
    for ref in others:
        real = _said(answer, ref.field) if isinstance(answer, FoundLead) else answer.email
        if real and not _agree(ref, real):
            yield ref, f"is not that of {header(first.field)} {first.value!r}, which has {real!r}"


def _agree(ref: Ref, real: str) -> bool:
    return same_phone(ref.value, real) if ref.field is Field.LEAD_PHONE else ref.value == real.casefold()


def answer_for_lead(ref: Ref, leads: Iterable[FoundLead]) -> Lookup:
    """Which of the leads that came back is the one asked for: the API may answer with others."""
    return _answer(ref, [lead for lead in leads if _is_lead(ref, lead)], NO_LEAD)


def answers_for_leads(refs: Sequence[Ref], leads: Iterable[FoundLead]) -> list[Lookup]:
    """The same for many refs of one kind, of which each finds its leads at once."""
    if refs[0].field is Field.LEAD_PHONE:  # a phone number has more spellings than one
        return [answer_for_lead(ref, leads) for ref in refs]
    by_name: dict[str, list[FoundLead]] = defaultdict(list)
    for lead in leads:
        by_name[_said(lead, refs[0].field).casefold()].append(lead)
    return [answer_for_lead(ref, by_name.get(ref.value, ())) for ref in refs]


def answer_for_user(ref: Ref, users: Iterable[FoundUser]) -> Lookup:
    """Which of the users is the one asked for; an inactive one can't own an activity."""
    meant = [user for user in users if _is_user(ref, user)]
    if meant and not any(user.active for user in meant):
        return Lookup(ref.field, ref.value, None, f"{meant[0].name} is no longer an active user of the account")
    return _answer(ref, [user for user in meant if user.active], NO_USER)


def _answer(ref: Ref, meant: Sequence[FoundLead | FoundUser], nobody: str) -> Lookup:
    if len({each.id for each in meant}) > 1:
        return Lookup(ref.field, ref.value, None, f"found {len(meant)} times: use the Id instead")
    if not meant:
        noun = f" {ref.field.removeprefix('Lead ')}".lower() if ref.field in LEADS else ""
        return Lookup(ref.field, ref.value, None, f"{nobody}{noun}")
    found: dict[str, Any] = asdict(meant[0])
    return Lookup(ref.field, ref.value, found)


def _is_lead(ref: Ref, lead: FoundLead) -> bool:
    return bool(lead.id and lead.number) and _agree(ref, _said(lead, ref.field))


def _said(lead: FoundLead, named: Field) -> str:
    """What LeadSquared says of the lead, in the way that a row may name it."""
    return {
        Field.LEAD_ID: lead.id,
        Field.LEAD_NUMBER: lead.number,
        Field.LEAD_EMAIL: lead.email,
        Field.LEAD_PHONE: lead.phone,
    }[named]


def _is_user(ref: Ref, user: FoundUser) -> bool:
    return user.id == ref.value if ref.field is Field.USER_ID else user.email.casefold() == ref.value


def same_phone(one: str, other: str) -> bool:
    """Whether two numbers are the same, be it that one lacks its country code or a leading zero."""
    first, second = digits(one).lstrip("0"), digits(other).lstrip("0")
    shorter, longer = sorted((first, second), key=len)
    return len(shorter) >= 6 and longer.endswith(shorter) and len(longer) - len(shorter) <= 3
