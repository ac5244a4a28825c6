"""Reading lists of activities, and finding those of ours among them by their markers."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from batch_share.leadsquared.guesses import SMALLEST_PAGE
from batch_share.leadsquared.protocol import Activities, read_activities
from batch_share.sending.calls import consult
from batch_share.sending.steps import markers_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from batch_share.leadsquared.protocol import ActivityView, Call
    from batch_share.sending.session import Connection


class Found(NamedTuple):
    """Activities by the marker in them; `problem` says why they are not all, None if they are."""

    views: dict[str, dict[str, ActivityView]]
    problem: str | None = None


async def collect(
    session: Connection, event: int, page: Callable[[int], Call], most: int, wanted: Collection[str] = ()
) -> Found:
    """Read page after page, at most `most`. A list that is not whole proves nothing about what is not on it.

    Activities are counted by their Ids: a server may ignore which page it is asked for, or of what size, list the
    oldest first, or tell the count of the page for that of all. So the list ends with an empty page, however many
    the one before it had; one that brings nothing new comes from a server that ignores the page, which shows all
    there are only if they are fewer than it has on a page at least. Once all the `wanted` markers are found, no
    absence is to be proved, and what the list says of its length is believed.
    """
    views: dict[str, dict[str, ActivityView]] = defaultdict(dict)
    seen: set[str] = set()
    for number in range(most):
        call = page(number)
        answer = await consult(session, call, read_activities)
        if not isinstance(answer, Activities):
            return Found(views, answer.words)
        for view in answer.shown:
            markers = markers_in(view.said)
            session.saw(call.path, event, markers)
            for marker in markers:
                views[marker][view.id] = view
        new = {view.id for view in answer.shown} - seen
        seen |= new
        if wanted and views.keys() >= {*wanted} and answer.total is not None and len(seen) >= answer.total:
            return Found(views)
        if not new:
            is_end = not answer.shown or len(seen) < SMALLEST_PAGE
            is_whole = is_end and len(seen) >= (answer.total or 0)
            return Found(views, None if is_whole else "the list is not whole")
        if (answer.total or 0) > most * len(answer.shown):
            break
    return Found(views, "there are too many")
