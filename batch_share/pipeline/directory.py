"""Who is meant: turns the names that rows use for leads and users into Ids, or says why that can't be done.

No I/O: `lookup` asks LeadSquared, this module holds the answers and judges each row by them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from batch_share.leadsquared.lookups import FoundLead, FoundUser
from batch_share.ledger.records import Instruction, Lookup
from batch_share.sheet.columns import LEADS, USERS, Field
from batch_share.sheet.rows import Problem, Ref, ShareRow
from batch_share.sheet.values import digits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from batch_share.sheet.table import RawRow

NO_LEAD = "no lead has this"
NO_USER = "not an active user of the account"


@dataclass(slots=True)
class Directory:
    """What is known of leads and users, by the way a row names them."""

    _answers: dict[Ref, Lookup] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)

    def learn(self, answers: Iterable[Lookup]) -> None:
        """Take answers in; a later one replaces an earlier."""
        self._answers |= {Ref(Field(answer.kind), answer.value): answer for answer in answers}

    def is_found(self, ref: Ref) -> bool:
        """Whether `ref` is known to name somebody."""
        answer = self._answers.get(ref)
        return answer is not None and answer.found is not None

    def unfound(self) -> list[Ref]:
        """Everybody who was asked for in vain: they may be there by now."""
        return [ref for ref, answer in self._answers.items() if answer.found is None]

    def is_answered(self, ref: Ref) -> bool:
        """Whether `ref` has been asked for, whatever came back."""
        return ref in self._answers

    def knows(self, row: ShareRow) -> bool:
        """Whether everything that the row names has been asked for."""
        return all(ref in self._answers for ref in (*row.leads, *row.users))

    def user_name(self, user_id: str) -> str:
        """What people call a user: name and e-mail address if they are known, else the Id."""
        if not self._names:
            users = [answer.found for ref, answer in self._answers.items() if ref.field in USERS and answer.found]
            self._names = {user["id"]: f"{user['name']} <{user['email']}>" for user in users}
        return self._names.get(user_id, user_id)

    def resolve(self, row: ShareRow, raw: RawRow, header: Callable[[Field], str]) -> Instruction | list[Problem]:
        """What the row asks for, with Ids; or what is wrong: everything that names its lead must mean the same."""
        problems = {ref: self._problem(ref) for ref in (*row.leads, *row.users)}
        if any(problems.values()):
            told = [(ref, problem) for ref, problem in problems.items() if problem]
            return [Problem(raw.number, header(ref.field), ref.value, problem) for ref, problem in told]
        leads, users = self._leads(row.leads), self._users(row.users)
        for found, refs, what in ((leads, row.leads, "lead"), (users, row.users, "user")):
            if len({each.id for each in found}) > 1:
                shown = " and ".join(f"{header(ref.field)} {ref.value!r}" for ref in refs)
                return [Problem(raw.number, "", "", f"{shown} are not the same {what}")]
        return Instruction(
            lead_id=leads[0].id,
            lead_number=leads[0].number,
            user_id=users[0].id,
            access=row.access,
            duration=row.duration,
            event=row.event,
            note=row.note,
            until=row.until.replace(tzinfo=None) if row.until else None,
            custom=dict(row.custom) or None,
        )

    def _problem(self, ref: Ref) -> str | None:
        answer = self._answers.get(ref)
        return "was not looked up" if answer is None else answer.problem

    def _leads(self, refs: Sequence[Ref]) -> list[FoundLead]:
        return [FoundLead(**dict(self._answers[ref].found or {})) for ref in refs]

    def _users(self, refs: Sequence[Ref]) -> list[FoundUser]:
        return [FoundUser(**dict(self._answers[ref].found or {})) for ref in refs]


def answer_for_lead(ref: Ref, leads: Iterable[FoundLead]) -> Lookup:
    """Which of the leads that came back is the one asked for: the API may answer with others."""
    return _answer(ref, [lead for lead in leads if _is_lead(ref, lead)], NO_LEAD)


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
    if not lead.id or not lead.number:
        return False
    match ref.field:
        case Field.LEAD_ID:
            return lead.id == ref.value
        case Field.LEAD_NUMBER:
            return lead.number == ref.value
        case Field.LEAD_EMAIL:
            return lead.email.casefold() == ref.value
        case _:
            return same_phone(lead.phone, ref.value)


def _is_user(ref: Ref, user: FoundUser) -> bool:
    return user.id == ref.value if ref.field is Field.USER_ID else user.email.casefold() == ref.value


def same_phone(one: str, other: str) -> bool:
    """Whether two numbers are the same, be it that one lacks its country code or a leading zero."""
    first, second = digits(one).lstrip("0"), digits(other).lstrip("0")
    shorter, longer = sorted((first, second), key=len)
    return len(shorter) >= 6 and longer.endswith(shorter) and len(longer) - len(shorter) <= 3
