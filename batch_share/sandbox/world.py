"""The people of the sandbox's account: its leads and users, the same for the same seed, everywhere and always.

Each person follows from the seed and its own position only, so a smaller world is the beginning of a larger one
(but for the leads' owners) and a sheet made from `World(seed=1)` fits every sandbox with seed 1. Nobody is real:
e-mail addresses are on example.com (RFC 2606). Every "random" value follows from the seed and from what it is for,
never from a state.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import lru_cache

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "sandbox.batch-share.invalid")


def guid(*parts: str | int) -> str:
    """A GUID as LeadSquared writes them: lower case, with dashes. The same parts give the same GUID, always."""
    return str(uuid.uuid5(_NAMESPACE, ":".join(map(str, parts))))


def fraction(*parts: str | int) -> float:
    """A number in [0, 1) for these parts, evenly spread over all parts."""
    return (uuid.UUID(guid(*parts)).int >> 80) / (1 << 48)  # the 48 bits before the one that says the version


FIRST_NUMBER = 869_000  # of six digits, as numbers of real leads are
_FIRST_NAMES = (
    "Aarav", "Asha", "Bhavna", "Chetan", "Deepa", "Farhan", "Gauri", "Harish", "Isha", "Jatin", "Kavya", "Lakshmi",
    "Manoj", "Nisha", "Omkar", "Priya", "Rahul", "Sana", "Tarun", "Usha", "Varun", "Yamini", "Zoya",
)  # fmt: skip
_LAST_NAMES = (
    "Agarwal", "Bose", "Chopra", "Das", "Fernandes", "Gupta", "Iyer", "Joshi", "Kulkarni", "Menon", "Nair", "Patel",
    "Rao", "Reddy", "Sharma", "Shetty", "Singh", "Thomas", "Verma",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lead:
    """A lead: `id` is the ProspectID (GUID), `number` the ProspectAutoId, shown as "Lead Number"."""

    id: str
    number: int
    first_name: str
    last_name: str
    email: str
    phone: str
    owner_id: str


@dataclass(frozen=True, slots=True)
class User:
    """A user of the account; only an active one can own an activity."""

    id: str
    first_name: str
    last_name: str
    email: str
    role: str
    active: bool

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}"


class World:
    """`leads` and `users`, in a fixed order; `users[0]` is the administrator whose keys are in use, the `key_user`.

    Every tenth user (`users[9]`, `users[19]`, ...) is inactive. `leads[i].number` is `first_number` + i * `step`;
    `numbers` are the leads by their numbers, in digits. Whatever names no owner is the `key_user`'s.
    """

    def __init__(
        self, seed: int = 1, leads: int = 2000, users: int = 20, first_number: int = FIRST_NUMBER, step: int = 1
    ) -> None:
        self.seed = seed
        names = [_names(seed, "user", position) for position in range(users)]
        self.users = tuple(
            User(
                id=guid(seed, "user", position),
                first_name=first,
                last_name=last,
                email=f"{first}.{last}.{position}@sales.example.com".lower(),
                role="Sales_User" if position else "Administrator",
                active=position % 10 != 9,
            )
            for position, (first, last) in enumerate(names)
        )
        self.key_user = self.users[0]
        self.leads = _leads(seed, range(first_number, first_number + leads * step, step), self.users)
        self._users = {user.id: user for user in self.users}
        self._emails = {user.email: user for user in self.users}
        self._leads = {lead.id: lead for lead in self.leads}
        self.numbers = {str(lead.number): lead for lead in self.leads}

    def lead(self, lead_id: str) -> Lead | None:
        """The lead with this GUID."""
        return self._leads.get(lead_id.lower())

    def user(self, user_id: str) -> User | None:
        """The user with this GUID, active or not."""
        return self._users.get(user_id.lower())

    def user_with_email(self, email: str) -> User | None:
        """The user with this e-mail address, active or not."""
        return self._emails.get(email.strip().lower())


@lru_cache(maxsize=4)  # a program may make one sandbox after the other, all of the same people
def _leads(seed: int, numbers: range, users: tuple[User, ...]) -> tuple[Lead, ...]:
    leads = []
    for position, number in enumerate(numbers):
        first, last = _names(seed, "lead", position)
        lead = Lead(
            id=guid(seed, "lead", position),
            number=number,
            first_name=first,
            last_name=last,
            email=f"{first}.{last}.{position}@example.com".lower(),
            # 7919 shares no factor with 10^8: no two leads have the same number.
            phone=f"+91-98{(10_000_019 + position * 7919) % 100_000_000:08d}",
            owner_id=users[position % len(users)].id,
        )
        leads.append(lead)
    return tuple(leads)


def _names(seed: int, kind: str, position: int) -> tuple[str, str]:
    pick = int(guid(seed, kind, position, "name").replace("-", ""), 16)
    return _FIRST_NAMES[pick % len(_FIRST_NAMES)], _LAST_NAMES[pick // 1000 % len(_LAST_NAMES)]
