"""Who is meant: turns the names that rows use for leads and users into Ids, or says why that can't be done.

No I/O: `lookup` asks LeadSquared, this module holds the answers and judges each row by them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, cast

from batch_share.leadsquared.lookups import FoundLead, FoundUser
from batch_share.ledger.records import Instruction, Lookup
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
    """What is known of leads and users, by the way a row names them."""

    _answers: dict[Ref, FoundLead | FoundUser | str] = field(default_factory=dict)  # or why nobody is meant
    _names: dict[str, str] = field(default_factory=dict)

    def learn(self, answers: Iterable[Lookup]) -> None:
        """Take answers in; a later one replaces an earlier."""
        for answer in answers:
            named = Field(answer.kind)
            self._answers[Ref(named, answer.value)] = _found(named, answer)

    def is_found(self, ref: Ref) -> bool:
        """Whether `ref` is known to name somebody."""
        return not isinstance(self._answers.get(ref, ""), str)

    def unfound(self) -> list[Ref]:
        """Everybody who was asked for in vain: they may be there by now."""
        return [ref for ref, answer in self._answers.items() if isinstance(answer, str)]

    def is_answered(self, ref: Ref) -> bool:
        """Whether `ref` has been asked for, whatever came back."""
        return ref in self._answers

    def user_name(self, user_id: str) -> str:
        """What people call a user: name and e-mail address if they are known, else the Id."""
        if not self._names:
            users = [answer for answer in self._answers.values() if isinstance(answer, FoundUser)]
            self._names = {user.id: f"{user.name} <{user.email}>" for user in users}
        return self._names.get(user_id, user_id)

    def resolve(self, row: ShareRow, raw: RawRow, header: Callable[[Field], str]) -> Instruction | list[Problem]:
        """What the row asks for, with Ids; or what is wrong.

        The surest name of the lead and of the user was looked up; whatever else the row says of them must agree.
        """
        problems = [
            Problem(raw.number, header(ref.field), ref.value, wrong)
            for refs in (row.leads, row.users)
            for ref, wrong in self._wrong(refs, header)
        ]
        if problems:
            return problems
        lead, user = self._lead(row.leads[0]), self._user(row.users[0])
        return Instruction(
            lead_id=lead.id,
            lead_number=lead.number,
            user_id=user.id,
            access=row.access,
            duration=row.duration,
            event=row.event,
            note=row.note,
            until=row.until.replace(tzinfo=None) if row.until else None,
            custom=dict(row.custom) or None,
        )

    def _wrong(self, refs: Sequence[Ref], header: Callable[[Field], str]) -> Iterator[tuple[Ref, str]]:
        """What is wrong with the names of one lead, or of one user."""
        first, *others = refs
        answer = self._answers.get(first)
        if answer is None or isinstance(answer, str):
            yield first, "was not looked up" if answer is None else answer
            return
        for ref in others:
            real = _said(self._lead(first), ref.field) if ref.field in LEADS else self._user(first).email
            if real and not _agree(ref, real):
                yield ref, f"is not that of {header(first.field)} {first.value!r}, which has {real!r}"

    def _lead(self, ref: Ref) -> FoundLead:
        return cast("FoundLead", self._answers[ref])

    def _user(self, ref: Ref) -> FoundUser:
        return cast("FoundUser", self._answers[ref])


def _found(named: Field, answer: Lookup) -> FoundLead | FoundUser | str:
    if answer.found is None:
        return answer.problem or ""
    return FoundUser(**answer.found) if named in USERS else FoundLead(**answer.found)


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
