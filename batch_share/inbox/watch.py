"""The watch over an inbox: looks now and then, works on one sheet after the other, files each away."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from batch_share.errors import BatchShareError
from batch_share.inbox.fate import Outcome, is_for_all, place_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from batch_share.inbox.arrivals import Arrivals
    from batch_share.inbox.places import Case, Places

T = TypeVar("T")

AGAIN: Final = 300.0
"""Seconds until a sheet is looked at again of which something is to come."""


class Teller(Protocol):
    """Whoever is told what happens."""

    def sheet(self, case: Case, outcome: Outcome, place: str | None) -> None:
        """A sheet was worked on, and is at `place` now; None: where it was, to be looked at again."""

    def trouble(self, words: str) -> None:
        """Something else went wrong that may be over at the next look."""


@dataclass(slots=True)
class Watch:
    """`work` does what is to be done for a sheet; `moved` is told of each that is filed away, before and after.

    `sleep` returns early when `is_over`.
    """

    arrivals: Arrivals
    places: Places
    work: Callable[[Case], Awaitable[Outcome]]
    moved: Callable[[Case, Case], None]
    teller: Teller
    sleep: Callable[[float], Awaitable[None]]
    is_over: Callable[[], bool]
    again: float = AGAIN
    endings: list[Outcome] = field(default_factory=list)
    _looked: dict[Path, float] = field(default_factory=dict)
    _troubled: str = ""

    async def once(self) -> None:
        """Work on what is there, and on what settles while it is looked at twice. Raises BatchShareError."""
        await self._round()
        if self.arrivals.saw_any and not self.is_over():
            await self.sleep(self.arrivals.settle)
            await self._round()
        for sheet in self.arrivals.unsettled():
            self.teller.trouble(f"{sheet.name}: still being written, or cut off; left for the next time.")

    async def forever(self, every: float) -> None:
        """Look each `every` seconds until it is over. Raises BatchShareError for what no later look can mend."""
        while not self.is_over():
            await self._round_or_trouble()
            if not self.is_over():
                await self.sleep(every)

    async def _round_or_trouble(self) -> None:
        """A folder on another machine may be gone for a while; told once."""
        words = ""
        try:
            await self._round()
        except _Unusable as error:
            words = str(error)
        if words and words != self._troubled:
            self.teller.trouble(f"{words} It is tried again.")
        self._troubled = words

    async def _round(self) -> None:
        for case in self._usable(self.places.begun):
            await self._go_on(case)
        for sheet in self._usable(self.arrivals.ready):
            if self.is_over():
                return
            await self._go_on(self._usable(partial(self.places.take, sheet)))

    async def _go_on(self, case: Case) -> None:
        now = self.arrivals.now()
        if self.is_over() or now - self._looked.get(case.folder, -self.again) < self.again:
            return
        outcome = await self.work(case)
        self._looked[case.folder] = self.arrivals.now()
        self.endings.append(outcome)
        place = place_of(outcome)
        if place is not None:
            why = str(outcome.error) if outcome.error is not None else ""
            before, case = case, self._usable(partial(self.places.finish, case, place, why))
            self.moved(before, case)
        self.teller.sheet(case, outcome, place)
        if is_for_all(outcome) and outcome.error is not None:
            raise outcome.error

    def _usable(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except OSError as error:
            raise _Unusable(f"{self.places.inbox} can't be read ({error.strerror}).") from None
        except BatchShareError as error:
            raise _Unusable(str(error)) from None


class _Unusable(BatchShareError):
    """The folder can't be read or changed now."""
