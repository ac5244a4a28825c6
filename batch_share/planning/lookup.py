"""Looking up, before a run, everybody that its rows name: in bulk where the API lets us, one by one where not.

Each kind of name has several APIs that know it, and none of them is on every account: where one is missing, refused
or not understood, the next is asked. Whoever none could tell of is not guessed at: `Directory.unanswered`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

from batch_share.common import Cause, ascii_lower
from batch_share.leadsquared.pacing import PacerClosed
from batch_share.leadsquared.people import (
    ALL_USERS,
    PAGE,
    FoundUser,
    found_by,
    leads_by_ids,
    leads_where,
    read_leads,
    read_users,
    users_where,
)
from batch_share.ledger.records import Lookup
from batch_share.planning.directory import Directory, answer_for, answers_for_leads, is_meant
from batch_share.sending.calls import consult
from batch_share.sending.session import in_parallel
from batch_share.sheet.columns import USERS, Field

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from batch_share.leadsquared.people import FoundLead
    from batch_share.leadsquared.protocol import Call, Failure
    from batch_share.planning.directory import Names
    from batch_share.sending.session import Connection
    from batch_share.sheet.rows import Ref

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


def calls_for(leads: Mapping[Field, int], users: int) -> tuple[int, int]:
    """How many calls look so many people up: at least, and where the account has no API for many.

    One of them asks for the activity types. Leads are counted by the surest thing that is known of them.
    """
    by_ids, total = leads.get(Field.LEAD_ID, 0), sum(leads.values())
    least = leads.get(Field.LEAD_PHONE, 0) + -(-by_ids // PAGE)
    for count in (leads.get(Field.LEAD_NUMBER, 0), leads.get(Field.LEAD_EMAIL, 0)):
        least += min(count, 2 + -(-count // IN_PAGE))  # two to see whether the account takes many at once
    types = bool(total or users)
    return least + bool(users) + types, total + bool(by_ids) + bool(users) + users + types


class Notebook(Protocol):
    """Keeps answers, so that none is asked for twice: a ledger, or what is kept for the next."""

    async def note_lookups(self, answers: Sequence[Lookup]) -> None:
        """Keep these."""


@dataclass(slots=True)
class Enquiry:
    """Asks for leads and users over one connection; what comes back goes to the directory and the notebooks.

    What ends it early is `connection.stop.error`.
    """

    connection: Connection
    directory: Directory
    notebooks: Sequence[Notebook]
    _in_works: dict[Field, bool] = field(default_factory=dict, init=False)  # as far as it was tried
    _refused_pages: bool = field(default=False, init=False)

    async def ask(self, refs: Names | Collection[Ref]) -> None:
        """Look up all of `refs`: leads by stretches, then the users. Nothing is changed in the account."""
        self.connection.tally.phase = LOOKING_UP
        self.connection.tally.to_look_up(len(refs))
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
        await self._all_alone(wanted.get(Field.LEAD_PHONE, []))

    # ------------------------------------------------------------------------------------------ many at once

    async def _ids(self, refs: Sequence[Ref]) -> None:
        """By GUID, up to 1,000. Of those that are missing some are asked for alone before that is believed."""
        found = await consult(self.connection, leads_by_ids([ref.value for ref in refs]), read_leads)
        if not isinstance(found, list):
            await self._all_alone(refs)
            return
        left = await self._learn_found(refs, found)
        # It may leave out Ids, or leads: all are asked for alone unless the first few of them are really not there.
        probes = left if any(not (lead.id and lead.number) for lead in found) else left[:PROBES]
        await self._all_alone(probes)
        rest = left[len(probes) :]
        if any(ref in self.directory.unanswered or self.directory.is_found(ref) for ref in probes):
            await self._all_alone(rest)
        else:
            await self._learn([answer_for(ref, ()) for ref in rest])

    async def _by_value(self, refs: Sequence[Ref]) -> None:
        """By number or e-mail address: with IN if that works here, and what it does not find once more alone."""
        left = list(refs)
        if await self._takes_many(left):
            if len(left) > 1:
                await self._each(self._chunks(left, IN_PAGE), self._many)
        elif left and left[0].field is Field.LEAD_NUMBER and not self._refused_pages:
            await self._by_pages(sorted(left, key=lambda ref: int(ref.value)))
        await self._all_alone([ref for ref in left if not self.directory.is_found(ref)])

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
            await self._all_alone([ref])
            if self.directory.is_found(ref):
                return ref
        return None

    async def _try_in(self, known: Ref) -> bool:
        """Whether IN finds a lead that is there, and nobody else: no page shows how its values are written."""
        if self.connection.stop.asked:
            return False
        values = [_NOBODY[known.field], known.value]
        found = await consult(self.connection, leads_where(_NAMES[known.field], values, "IN"), read_leads)
        if not isinstance(found, list):
            return False
        answer = answer_for(known, found)
        return answer.found is not None and all(lead.id == answer.found["id"] for lead in found)

    async def _many(self, refs: Sequence[Ref]) -> None:
        call = leads_where(_NAMES[refs[0].field], [ref.value for ref in refs], "IN")
        found = await consult(self.connection, call, read_leads)
        await self._learn_found(refs, found if isinstance(found, list) else ())

    async def _by_pages(self, left: Sequence[Ref]) -> None:
        """By number where IN does not work: numbers of one sheet are often near each other, and a page has 1,000.

        As long as a page finds more than one of them, which asking alone would cost as much; `left` is in order.
        """
        while len(left) > 1 and not self.connection.stop.asked:
            start = int(left[0].value)
            found = await consult(self.connection, leads_where("ProspectAutoId", [str(start)], ">="), read_leads)
            listed = found if isinstance(found, list) else []
            numbers = [int(lead.number) if lead.number.isdecimal() else -1 for lead in listed]
            # Out of order, or from before: the question was not understood, and who knows what is left out.
            if not numbers or numbers[0] < start or numbers != sorted(set(numbers)):
                self._refused_pages = True
                return
            there = [ref for ref in left if int(ref.value) <= numbers[-1]]
            if len(there) - len(await self._learn_found(there, listed)) < 2:
                return
            left = left[len(there) :]

    async def _users(self, refs: Sequence[Ref]) -> None:
        """A large account's list may be incomplete: whoever it lacks is asked for before a row is refused."""
        if not refs or self.connection.stop.asked:
            return
        users = await consult(self.connection, ALL_USERS, read_users)
        listed = users if isinstance(users, list) else []
        named = {user.id for user in listed} | {ascii_lower(user.email) for user in listed}
        await self._learn([answer_for(ref, listed) for ref in refs if ref.value in named])
        await self._all_alone([ref for ref in refs if ref.value not in named])

    # ------------------------------------------------------------------------------------------ one alone

    async def _all_alone(self, refs: Iterable[Ref]) -> None:
        await self._each(refs, self._alone)

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
                [Lookup(ref.field, ref.value, None, f"could not be looked up: {why}", Cause.INVALID)]
            )

    # ------------------------------------------------------------------------------------------ plumbing

    async def _learn_found(self, refs: Sequence[Ref], leads: Sequence[FoundLead]) -> list[Ref]:
        """Learn who of `refs` was found; the others."""
        answers = answers_for_leads(refs, leads) if refs else []
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
