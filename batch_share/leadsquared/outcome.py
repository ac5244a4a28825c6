"""What became of a call, in the only words the rest of the program knows.

The table of `protocol` turns every answer, or the lack of one, into one of these; what to do next follows from
the class alone. `words` are the API's own, made safe to print.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from batch_share.common import Rate


@dataclass(frozen=True, slots=True)
class Done:
    """LeadSquared did it and gave `id`: an activity's Id or a request Id."""

    id: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Definitely not done, and asking again would get the same answer."""

    words: str
    type: str = ""
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Throttled:
    """Not done: too many calls. For `pause` seconds no call is to be made; `rate` is the account's real limit.

    Each is None if it is not told. For `closed_for` seconds no call is to be made, and that is too long to wait.
    """

    words: str
    pause: float | None = None
    rate: Rate | None = None
    status: int | None = None
    closed_for: float | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """Not done, and nothing else will be either: the keys or their user were refused, or the API is not there.

    `path` is of the API that is not there.
    """

    words: str
    status: int
    path: str = ""


@dataclass(frozen=True, slots=True)
class NotSent:
    """The call never left: no connection. It may be tried again, if `hopeless` when that is fixed."""

    words: str
    status: None = None
    hopeless: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """It was sent, and nobody knows whether it was done."""

    words: str
    status: int | None = None


Failure: TypeAlias = Refused | Throttled | Denied | NotSent | Lost
Outcome: TypeAlias = Done | Failure


@dataclass(frozen=True, slots=True)
class ShareStatus:
    """The status API's word on a request: `verdict` is `processed`, `failed` or `pending`.

    `number` is the raw ShareStatus, `words` the ErrorMessage or the ResponseText.
    """

    verdict: str
    number: int | None
    words: str
    status: int = 200


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose an activity is, in as many ways as LeadSquared shows it: user Id (lower case), e-mail address, name."""

    id: str = ""
    email: str = ""
    name: str = ""

    def __str__(self) -> str:
        return self.id or self.email or self.name


@dataclass(frozen=True, slots=True)
class ActivityView:
    """An activity as LeadSquared shows it: its `id` and its `owner`, None where it shows none.

    `created_on` is UTC text, `said` every text of it in lower case, wherever it stood; `lead` is its lead's Id, ""
    where that is not told.
    """

    id: str
    owner: Owner | None
    created_on: str = ""
    said: str = ""
    lead: str = ""


@dataclass(frozen=True, slots=True)
class Activities:
    """A page of activities, and how many there are on all pages: None where that is not told.

    A total may be the count of this page alone: more than were seen are not all, as many may be.
    """

    total: int | None
    shown: tuple[ActivityView, ...] = ()
