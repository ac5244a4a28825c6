"""Settling what nobody knows: look the activity up, adopt it, or post it again once it is surely not there.

A row is `unknown` when its call left and no answer was recorded. Nothing is posted for it before it was looked up:
found by its marker, its activity is adopted; absent in two looks, the second one a grace period after the loss
(reads may lag behind writes), it may be posted again. A share can't be looked up, but sharing again in the same
context makes no second share, so that is what happens.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from batch_share.common import Action, Cause, loop_time
from batch_share.leadsquared.guesses import CLOCK_SKEW
from batch_share.leadsquared.protocol import activities_of_lead, activities_of_type
from batch_share.ledger.known import SAME_END
from batch_share.ledger.records import Result, Why
from batch_share.ledger.states import Stage, State
from batch_share.planning.already_shared import Elsewhere, known_elsewhere
from batch_share.sending.calls import AGAIN
from batch_share.sending.onlookers import Awaited
from batch_share.sending.session import ending_early, in_parallel
from batch_share.sending.steps import Found, Whose, asked, collect, end_in, in_note, marker_of, whose_is

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from batch_share.leadsquared.protocol import ActivityView
    from batch_share.ledger.records import Row
    from batch_share.sending.session import Session

MOST_REPEATS: Final = 2
"""Times that a run sends a step of a row again; then the row is left to the next run."""

MOST_PAGES: Final = 20
"""Pages of activities that are read for one lead, or of one type."""

SWEEP_FROM: Final = 5
"""Leads to look up from which their activities are first looked for all at once."""


_LOOKS_AT_LEAD: Final = activities_of_lead("", 0).path
_LOOKS_AT_TYPE: Final = "ProspectActivity.svc/CustomActivity/RetrieveByActivityEvent"
"""The two APIs that can show whether an activity is there."""

_RECOVERED: Final = "recovered"
"""The detail that a row keeps whose ledger did not know of it, while it is unknown."""

_RECENT: Final = timedelta(days=1)
"""How far back one of ours is looked for among all of its type."""


class Whereabouts(NamedTuple):
    """Where an activity is looked for: on a lead, among those of its type."""

    lead_id: str
    event: int


class Reconciler:
    """Settles the unknown rows of one run's ledger, as often as they come up."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._first_looks: dict[int, float] = {}
        self._resting: dict[int, float] = {}  # by a row of each group that waits: when its second look is
        self._repeats: Counter[tuple[int, Stage]] = Counter()
        self._settled = 0
        self._probed: set[tuple[str, int, bool]] = set()
        self._probing = asyncio.Lock()
        self._elsewhere = Elsewhere({}, revoked=False)

    async def begin(self) -> None:
        """Before anything is sent: adopt what can be found, let shares go on. Waits for nothing."""
        with ending_early(self._session.stop):
            self._elsewhere = await known_elsewhere(self._session)
            # Only before anything is shared anew: what this ledger shares later the index may not know of.
            is_new = self._session.missing is not None and self._elsewhere.revoked
            if is_new and await self._session.ledger.note_revoked(self._elsewhere.shares):
                self._session.tally.begin(await self._session.ledger.counts())
            await self._begin_with_each()

    async def settle(self) -> bool:
        """After everything was sent: decide about each row, waiting out its grace. Whether any can go on.

        Nothing is waited for while some can.
        """
        before = self._settled
        self._probed.clear()
        with ending_early(self._session.stop):
            await self._begin_with_each()
            if self._settled == before:
                await self._decide(await self._lost_activities())
        return self._settled > before and not self._session.stop.asked

    async def _begin_with_each(self) -> None:
        """Let shares go on, and look once for each activity that was not looked for yet.

        A share can be repeated in the same context; with "park" a person decides.
        """
        session, results = self._session, {}
        for each in await session.ledger.unknown_rows(Stage.SHARE):
            result = AGAIN
            if _is_recovered(each):
                wanted, begun = asked(each), each.changed_at or session.ledger.now()
                end = wanted.until or begun + timedelta(minutes=wanted.duration or 0)
                result = self._recovered(each, AGAIN, each.renewal, end)
            parks = session.settings.on_unknown == "park"
            if result.state is not State.POSTED or not (parks or self._is_too_often(each, Stage.SHARE)):
                results[each.id] = result
        await self._resolve(results)
        new = [each for each in await self._lost_activities() if each.id not in self._first_looks]
        if not new:
            return
        session.tally.phase = "looking up unknown rows"
        by_type: dict[int, list[Row]] = defaultdict(list)
        for each in new:
            by_type[_place(each).event].append(each)
        for event, group in by_type.items():
            if len(_by_place(group)) >= SWEEP_FROM:
                await self._sweep(event, group)
        missed = [each for each in new if each.id not in self._first_looks]
        await self._spread(_by_place(missed), self._look)

    def _is_too_often(self, each: Row, step: Stage) -> bool:
        self._repeats[each.id, step] += 1
        return self._repeats[each.id, step] > MOST_REPEATS

    async def _lost_activities(self) -> list[Row]:
        """Those that can be looked up: activities of an old ledger have no marker."""
        return [each for each in await self._session.ledger.unknown_rows(Stage.ACTIVITY) if _marker(each)]

    async def _sweep(self, event: int, lost: Sequence[Row]) -> list[Row] | None:
        """Read all activities of a type since the first was sent: one call may settle hundreds of rows.

        Those that surely are not there now; None, and nothing concluded, where that takes more calls than looking
        at each lead.
        """
        looked_at, most, wanted = self._session.ledger.now(), len(_by_place(lost)), {*map(_marker, lost)}
        if any(map(_is_recovered, lost)):
            wanted = set()  # a later renewal may be on another page
        else:
            most = min(MOST_PAGES, most)
        found = await self._read(_LOOKS_AT_TYPE, Whereabouts("", event), _first_sent(lost), most, wanted)
        # A list in which no marker is seen, not even those of rows that stand, shows none: that is no look.
        if not found.views:
            return None
        absent = await self._adopt(lost, found, looked_at)
        return absent if found.problem is None else None

    async def _look(self, group: Sequence[Row]) -> list[Row]:
        """Read all activities of a lead: they settle all its rows. Those that surely are not there now.

        On an account that can't show a lead's, all of the type since the row was sent.
        """
        place, since, wanted = _place(group[0]), _first_sent(group), {*map(_marker, group)}
        looked_at = self._session.ledger.now()
        found = await self._read(_LOOKS_AT_LEAD, place, since, MOST_PAGES, wanted)
        if _LOOKS_AT_LEAD in self._session.apis.gone:
            found = await self._read(_LOOKS_AT_TYPE, place, since, MOST_PAGES, wanted)
        absent = await self._adopt(group, found, looked_at)
        if found.problem is not None:
            why = Why(Cause.UNREAD, {"said": found.problem})
            await self._resolve({each.id: _left(each, why) for each in absent})
            return []
        return absent

    async def _read(
        self, looks: str, place: Whereabouts, since: datetime, most: int, wanted: Collection[str] = ()
    ) -> Found:
        """What one of the two APIs shows: all activities of the lead, or all of the type since then."""
        skew = timedelta(seconds=CLOCK_SKEW)
        page = partial(activities_of_type, place.event, since - skew, self._session.ledger.now() + skew)
        if looks == _LOOKS_AT_LEAD:
            page = partial(activities_of_lead, *place)
        return await collect(self._session, place.event, page, most, wanted)

    async def _decide(self, lost: Sequence[Row]) -> None:
        """A second look at each, its grace over: what is still not there was never posted."""
        groups = sorted(_by_place([each for each in lost if each.id in self._first_looks]), key=self._wait)
        last = loop_time() + max(map(self._wait, groups), default=0.0)
        with self._session.tally.waits_for(lambda: Awaited(min(self._resting.values(), default=None), last)):
            for event in {_place(group[0]).event for group in groups}:
                swept = [each for group in groups if _place(group[0]).event == event for each in group]
                if len(_by_place(swept)) < SWEEP_FROM or not all(map(_is_recovered, swept)):
                    continue
                # Many at once; what that does not show is still to be looked at lead by lead.
                left: list[Row] = []
                if await self._rest(swept):
                    absent = await self._sweep(event, swept)
                    if absent is None:  # it may have found some of them all the same
                        still = {each.id for each in await self._lost_activities()}
                        left = [each for each in swept if each.id in still]
                    else:
                        shown = {each.id for each in absent if await self._would_show(each, _LOOKS_AT_TYPE)}
                        await self._absent([each for each in absent if each.id in shown])
                        left = [each for each in absent if each.id not in shown]
                groups = [*_by_place(left), *(group for group in groups if _place(group[0]).event != event)]
            await self._spread(groups, self._decide_group)

    async def _decide_group(self, group: Sequence[Row]) -> None:
        if not await self._rest(group):
            return
        for each in await self._look(group):
            looks = _LOOKS_AT_LEAD if _LOOKS_AT_LEAD not in self._session.apis.gone else _LOOKS_AT_TYPE
            if await self._would_show(each, looks):
                await self._absent([each])
            else:
                await self._resolve({each.id: _left(each, Why(Cause.UNSHOWN))})

    async def _rest(self, group: Sequence[Row]) -> bool:
        """Wait until it is time for the second look at all of these; False if the work is to end."""
        while (wait := self._wait(group)) > 0:
            self._session.tally.phase = "waiting to look up unknown rows again"
            self._resting[group[0].id] = loop_time() + wait
            await self._session.stop.sleep(wait)
            del self._resting[group[0].id]
            if self._session.stop.asked:
                return False
        return True

    async def _would_show(self, each: Row, looks: str) -> bool:
        """Whether reads show markers like this row's, so that one that they don't show is not there.

        No page says where a note comes back, so what is believed is the API that was asked, and no other; if it has
        shown none in this run, it is asked in the same way for an activity of ours that stands.
        """
        session, event, in_note = self._session, _place(each).event, _marker(each).startswith("[")
        kind = looks, event, in_note
        async with self._probing:
            if not session.settings.trust_marker and kind not in session.shown | self._probed:
                self._probed.add(kind)
                known = await session.ledger.posted_with_marker(event, in_note=in_note)
                if known is not None and known.instruction is not None:
                    place = Whereabouts(known.instruction.lead_id, event)
                    await self._read(looks, place, session.ledger.now() - _RECENT, MOST_PAGES)
        return session.settings.trust_marker or kind in session.shown

    def _wait(self, group: Sequence[Row]) -> float:
        """Seconds to the group's second look: the grace over since the loss, half of it since the first look."""
        grace, now = self._session.settings.grace, self._session.ledger.now()
        since_loss = max(((each.changed_at or now) - now).total_seconds() + grace for each in group)
        since_look = max(self._first_looks[each.id] for each in group) + grace / 2 - loop_time()
        # A clock that was set back makes the loss look later than now.
        return max(min(since_loss, grace), since_look)

    async def _absent(self, group: Sequence[Row]) -> None:
        results = {}
        for each in group:
            if self._session.settings.on_unknown == "park":
                results[each.id] = _left(each, Why(Cause.PARKED))
            elif self._is_too_often(each, Stage.ACTIVITY):
                results[each.id] = _left(each, Why(Cause.SENT_AGAIN))
            else:
                del self._first_looks[each.id]
                # Of one to be reassigned what others have is revoked first, unless that was done.
                is_claim = asked(each).action is Action.REASSIGN and each.notice is None
                results[each.id] = Result(State.PENDING, "absent", stage=None if is_claim else Stage.ACTIVITY)
        await self._resolve(results)

    async def _adopt(self, lost: Iterable[Row], found: Found, looked_at: datetime) -> list[Row]:
        """Adopt what was found; those that were not. Only a whole list was a look at them."""
        absent, results = [], {}
        for each in lost:
            marker, renewal = _latest(each, found)
            named = found.views.get(marker, {}).values()
            views = [view for view in named if view.lead in {"", _place(each).lead_id}]
            if views or found.problem is None:
                self._first_looks.setdefault(each.id, loop_time())
            if views:
                adopted = await self._adoption(each, views)
                if _is_recovered(each) and adopted.state is State.POSTED:
                    adopted = self._recovered(each, adopted, renewal, end_in(views[0].said, marker))
                results[each.id] = adopted
                if adopted.state is State.FAILED:  # the guard may stop the run before more do
                    await self._resolve(results, looked_at)
                    results = {}
            else:
                absent.append(each)
        await self._resolve(results, looked_at)
        return absent

    async def _adoption(self, each: Row, views: Sequence[ActivityView]) -> Result:
        """What becomes of a row whose activity was found: once, or more often than it should be."""
        latest_first = reversed(views)  # as a page shows them
        first, *others = sorted([*latest_first], key=lambda view: view.created_on)
        learned = {"activity_id": first.id}
        double = None
        if others:
            double = Why(Cause.DOUBLE, {"counts": first.id, "others": [view.id for view in others]})
        if first.owner is not None:
            whose = await whose_is(self._session, first.owner, asked(each).user_id)
            if whose is Whose.ANOTHERS:
                why = Why(Cause.ANOTHERS, {"activity": first.id, "owner": str(first.owner)})
                failed = Result(State.FAILED, "foreign", stage=Stage.ACTIVITY, why=why)
                return replace(failed, notice=double, learned=learned)
        return Result(State.POSTED, "found", answer_id=first.id, notice=double, learned=learned)

    def _recovered(self, each: Row, adopted: Result, renewal: int, end: datetime | None) -> Result:
        """What becomes of a row whose activity stands, while another copy of its ledger may have shared its lead.

        That share may be known, be over by now, which is its `end`, or be revoked.
        """
        wanted = asked(each)
        learned: dict[str, Any] = {**adopted.learned, "renewal": renewal}
        if wanted.action is Action.REASSIGN and each.notice is None:  # it was posted only once nobody else had any
            adopted = replace(adopted, notice=adopted.notice or Why(Cause.NOBODY_ELSE))
        known = replace(adopted, stage=None, why=None, doubtful=False)
        if end is not None and end <= self._session.ledger.now():
            return replace(known, state=State.SHARED, learned=learned | {"ends_at": end})
        share = self._elsewhere.shares.get((wanted.lead_id, wanted.user_id))
        if share and share.request_id and (end is None or share.ends_at > end - SAME_END):
            request = {"request_id": share.request_id, "ends_at": share.ends_at}
            return replace(known, state=State.ACCEPTED, learned=learned | request)
        if self._elsewhere.revoked and share is None:
            why = Why(Cause.PERHAPS_REVOKED)
            return replace(known, state=State.FAILED, stage=Stage.SHARE, why=why, learned=learned)
        return replace(adopted, learned=learned)

    async def _resolve(self, results: Mapping[int, Result], looked_at: datetime | None = None) -> None:
        session = self._session
        await session.ledger.resolve(looked_at or session.ledger.now(), results)
        for result in results.values():
            if result.state is State.ACCEPTED and session.settings.follow_up:
                session.polls.add(str(result.learned["request_id"]))
            if result.state is not State.UNKNOWN:
                self._settled += 1
                session.moved(State.UNKNOWN, result)
                session.tally.looked_up[result.outcome] += 1
        session.guard.check()

    async def _spread(
        self, groups: Sequence[Sequence[Row]], work: Callable[[Sequence[Row]], Awaitable[object]]
    ) -> None:
        left = iter(groups)

        async def worker() -> None:
            for group in left:
                if self._session.stop.asked:
                    return
                await work(group)

        await in_parallel(self._session, worker)


def _left(each: Row, why: Why) -> Result:
    """What is left for another run, or for a person."""
    details = {**why.details, _RECOVERED: True} if _is_recovered(each) else why.details
    return Result(State.UNKNOWN, "left", stage=Stage.ACTIVITY, why=Why(why.cause, details))


def _latest(each: Row, found: Found) -> tuple[str, int]:
    """By what the last activity of a row is found, and of which renewal: another copy may have made later ones.

    And may have written its markers where this one does not: in a note, or in a custom field.
    """
    marker, renewal = _marker(each), each.renewal
    if _is_recovered(each):
        plain = marker.strip("[]")
        if marker not in found.views and (forms := found.views.keys() & {plain, in_note(plain)}):
            marker = min(forms)
        while True:
            plain = marker_of(each.key, Stage.ACTIVITY, renewal + 1)
            if not (forms := found.views.keys() & {plain, in_note(plain)}):
                break
            marker, renewal = min(forms), renewal + 1
    return marker, renewal


def _is_recovered(each: Row) -> bool:
    """Whether its ledger did not know that anything was sent for it, whatever was found out since."""
    return each.why is not None and (each.cause is Cause.RECOVERED or _RECOVERED in each.why.details)


def _marker(each: Row) -> str:
    """By what its activity is found; "" where it was sent without any."""
    return (each.last_call.marker if each.last_call else None) or ""


def _first_sent(lost: Iterable[Row]) -> datetime:
    """When the first of them was sent, as each unknown row was."""
    return min(each.last_call.sent_at for each in lost if each.last_call)


def _place(each: Row) -> Whereabouts:
    wanted = asked(each)
    return Whereabouts(wanted.lead_id, wanted.event)


def _by_place(lost: Iterable[Row]) -> list[list[Row]]:
    groups: dict[Whereabouts, list[Row]] = defaultdict(list)
    for each in lost:
        groups[_place(each)].append(each)
    return [*groups.values()]
