"""Looking up, before a run, everybody that its rows name: in bulk where the API lets us, one by one where not."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

from batch_share.errors import LookupRefused
from batch_share.leadsquared.lookups import (
    PAGE,
    all_users,
    leads_by_ids,
    leads_by_phone,
    leads_where,
    read_lead_page,
    read_leads,
    read_user,
    read_users,
    user_by_email,
    user_by_id,
)
from batch_share.leadsquared.pacing import PacerClosed
from batch_share.pipeline.calls import read
from batch_share.pipeline.directory import Directory, answer_for_lead, answer_for_user, answers_for_leads
from batch_share.pipeline.session import in_parallel
from batch_share.sheet.columns import USERS, Field

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from batch_share.leadsquared.lookups import FoundLead, FoundUser
    from batch_share.leadsquared.outcome import Failure
    from batch_share.leadsquared.protocol import Answer, Call
    from batch_share.ledger.records import Lookup
    from batch_share.pipeline.session import Connection
    from batch_share.sheet.rows import Ref

T = TypeVar("T")

LOOKING_UP: Final = "looking up leads and users"
"""What the progress display calls it."""

IN_PAGE: Final = 100
"""Values in one IN: a page of leads holds 1,000, but nobody says how long the list may be."""

STRETCH: Final = 20_000
"""Leads that are asked for before the next are named: a million names at once would take 160 MB."""

PROBES: Final = 5
"""Leads looked up alone, to have one that is there, before IN is given up for all."""

_NOBODY: Final = {Field.LEAD_NUMBER: "999999999999999", Field.LEAD_EMAIL: "nobody@batch-share.invalid"}
"""What no lead has, to try whether IN means what it says."""

_NAMES: Final[dict[Field, Literal["ProspectAutoId", "EmailAddress"]]] = {
    Field.LEAD_NUMBER: "ProspectAutoId",
    Field.LEAD_EMAIL: "EmailAddress",
}


class Notebook(Protocol):
    """Keeps answers, so that none is asked for twice: a ledger."""

    async def note_lookups(self, answers: Sequence[Lookup]) -> None:
        """Keep these."""


@dataclass(frozen=True, slots=True)
class Enquiry:
    """Asks for leads and users over one connection; what comes back goes to the directory and the notebook.

    What ends it early is `connection.stop.error`.
    """

    connection: Connection
    directory: Directory
    notebook: Notebook | None
    _in_works: dict[Field, bool] = field(default_factory=dict, init=False)  # as far as it was tried

    async def ask(self, refs: Iterable[Ref]) -> None:
        """Look up all of `refs`: leads by stretches, then the users. Nothing is changed in the account."""
        self.connection.tally.phase = LOOKING_UP
        users: dict[Ref, None] = {}
        try:
            for stretch in self._chunks(refs, STRETCH):
                if self.connection.stop.asked:
                    return
                users |= dict.fromkeys(ref for ref in stretch if ref.field in USERS)
                await self._leads(_by_field(stretch))
            await self._users(sorted(users, key=lambda ref: USERS.index(ref.field)))
        except PacerClosed:
            return

    async def _leads(self, wanted: Mapping[Field, list[Ref]]) -> None:
        await self._each(self._chunks(wanted.get(Field.LEAD_ID, []), PAGE), self._ids)
        for each in (Field.LEAD_NUMBER, Field.LEAD_EMAIL):
            await self._by_value(wanted.get(each, []))
        await self._each([[ref] for ref in wanted.get(Field.LEAD_PHONE, [])], self._phone)

    # ------------------------------------------------------------------------------------------ leads

    async def _ids(self, refs: Sequence[Ref]) -> None:
        found = await self._read(leads_by_ids([ref.value for ref in refs]), read_lead_page)
        await self._learn_leads(refs, found)

    async def _by_value(self, refs: Sequence[Ref]) -> None:
        """By number or e-mail address: with IN if that works here, and what it does not find once more alone."""
        left = list(refs)
        if await self._takes_many(left) and len(left) > 1:
            await self._each(self._chunks(left, IN_PAGE), self._many)
            left = [ref for ref in left if not self.directory.is_found(ref)]
        await self._each([[ref] for ref in left], self._one)

    async def _takes_many(self, left: list[Ref]) -> bool:
        """Whether IN works for the field of these. The first time some of them leave the list, to try it with."""
        if left and left[0].field in self._in_works:
            return self._in_works[left[0].field]
        known = await self._first_known(left)
        if known is None or len(left) < 2:
            return False
        works = self._in_works[known.field] = await self._try_in(known)
        return works

    async def _first_known(self, refs: list[Ref]) -> Ref | None:
        """Look refs up alone until one is found; they leave the list."""
        for _ in range(min(len(refs), PROBES)):
            ref = refs.pop(0)
            await self._each([[ref]], self._one)
            if self.directory.is_found(ref):
                return ref
        return None

    async def _try_in(self, known: Ref) -> bool:
        """Whether IN finds a lead that is there, and nobody else: no page shows how its values are written."""
        if self.connection.stop.asked:
            return False
        values = [_NOBODY[known.field], known.value]
        found = await read(self.connection, leads_where(_NAMES[known.field], values, "IN"), read_leads)
        if not isinstance(found, list):
            return False
        answer = answer_for_lead(known, found)
        return answer.found is not None and all(lead.id == answer.found["id"] for lead in found)

    async def _many(self, refs: Sequence[Ref]) -> None:
        call = leads_where(_NAMES[refs[0].field], [ref.value for ref in refs], "IN")
        found = await self._read(call, read_leads)
        await self._learn([each for each in answers_for_leads(refs, found) if each.found is not None])

    async def _one(self, refs: Sequence[Ref]) -> None:
        found = await self._read(leads_where(_NAMES[refs[0].field], [refs[0].value], "="), read_leads)
        await self._learn_leads(refs, found)

    async def _phone(self, refs: Sequence[Ref]) -> None:
        await self._learn_leads(refs, await self._read(leads_by_phone(refs[0].value), read_leads))

    # ------------------------------------------------------------------------------------------ users

    async def _users(self, refs: Sequence[Ref]) -> None:
        if not refs or self.connection.stop.asked:
            return
        await self._each([refs], self._listed_users)
        await self._each([[ref] for ref in refs if not self.directory.is_answered(ref)], self._user)

    async def _listed_users(self, refs: Sequence[Ref]) -> None:
        users = await self._read(all_users(), read_users)
        ids, emails = {user.id for user in users}, {user.email.casefold() for user in users}
        await self._learn([answer_for_user(ref, users) for ref in refs if ref.value in ids | emails])

    async def _user(self, refs: Sequence[Ref]) -> None:
        """A large account's list may be incomplete: whoever it lacks is asked for before a row is refused."""
        ref = refs[0]
        call = user_by_id(ref.value) if ref.field is Field.USER_ID else user_by_email(ref.value)
        users: list[FoundUser] = await self._read(call, read_user)
        await self._learn([answer_for_user(ref, users)])

    # ------------------------------------------------------------------------------------------ plumbing

    async def _read(self, call: Call, parse: Callable[[Answer], list[T] | Failure]) -> list[T]:
        found = await read(self.connection, call, parse)
        if not isinstance(found, list):
            raise LookupRefused(call.path, found.words)
        return found

    async def _learn_leads(self, refs: Sequence[Ref], leads: Sequence[FoundLead]) -> None:
        await self._learn(answers_for_leads(refs, leads))

    async def _learn(self, answers: Sequence[Lookup]) -> None:
        self.directory.learn(answers)
        if self.notebook is not None:
            await self.notebook.note_lookups(answers)

    async def _each(self, groups: Iterable[Sequence[Ref]], ask: Callable[[Sequence[Ref]], Awaitable[None]]) -> None:
        """Ask for every group, several at a time."""
        left = iter(groups)

        async def work() -> None:
            while not self.connection.stop.asked and (group := next(left, None)) is not None:
                await ask(group)

        await in_parallel(self.connection, work)

    @staticmethod
    def _chunks(refs: Iterable[Ref], size: int) -> Iterator[list[Ref]]:
        source = iter(refs)
        while chunk := list(islice(source, size)):
            yield chunk


def _by_field(refs: Iterable[Ref]) -> dict[Field, list[Ref]]:
    found: dict[Field, list[Ref]] = {}
    for ref in dict.fromkeys(refs):
        found.setdefault(ref.field, []).append(ref)
    return found
