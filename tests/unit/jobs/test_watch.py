"""The watch over an inbox, in no time: the clock and the sleep are the test's own, the work is told beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch_share.errors import AccessDenied, Unreachable
from batch_share.jobs.job import Ending
from batch_share.jobs.watch import AGAIN, Arrivals, Case, Folders, SheetOutcome, Watch
from batch_share.ledger.files import LedgerName
from batch_share.ledger.states import State
from batch_share.results.summary import Summary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


def ended(state: State = State.SHARED) -> SheetOutcome:
    return SheetOutcome(Path(), Ending(Summary({state: 1}, LedgerName.of("ledger"))))


@dataclass
class Scene:
    """An inbox and all that its watch works with; after `naps` sleeps it is over."""

    inbox: Path
    outcomes: dict[str, list[SheetOutcome]] = field(default_factory=dict)
    naps: int = 3
    time: float = 0.0
    worked: list[tuple[float, str]] = field(default_factory=list)
    reported: list[tuple[str, str | None]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    between: Callable[[int], None] | None = None
    moves: list[tuple[LedgerName, LedgerName]] = field(default_factory=list)

    async def work(self, case: Case) -> SheetOutcome:
        self.worked.append((self.time, case.sheet.name))
        left = self.outcomes.get(case.sheet.name, [])
        return replace(left.pop(0) if left else ended(), sheet=case.sheet)

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.naps -= 1
        if self.between is not None:
            self.between(self.naps)

    def moved(self, before: Case, after: Case) -> None:
        assert after.sheet.is_file()
        self.moves.append((before.ledger, after.ledger))

    async def follow(self, outcomes: AsyncIterator[SheetOutcome]) -> None:
        async for outcome in outcomes:
            assert outcome.sheet.is_file()
            self.reported.append((outcome.sheet.name, outcome.place))

    def watch(self) -> Watch:
        arrivals = Arrivals(self.inbox, lambda: self.time)
        places = Folders(self.inbox)
        return Watch(
            arrivals, places, self.work, self.moved, self.troubles.append, self.sleep, lambda: self.naps <= 0
        )


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def drop(scene: Scene, *names: str) -> None:
    for name in names:
        (scene.inbox / name).write_text("1")


async def test_what_is_there_is_done_once(scene: Scene) -> None:
    drop(scene, "a.csv", "b.csv", "c.pdf")
    scene.outcomes["b.csv"] = [ended(State.FAILED)]
    await scene.follow(scene.watch().once())
    assert sorted(scene.reported) == [("a.csv", "done"), ("b.csv", "failed")]
    files = [(old.as_file(), new.as_file()) for old, new in scene.moves]
    moves = [(old.parent.parent.name, new.parent.parent.name, new.name) for old, new in files]
    assert sorted(moves) == [
        ("working", "done", "a.csv.ledger.db"),
        ("working", "failed", "b.csv.ledger.db"),
    ]
    assert sorted(file.name for file in scene.inbox.glob("*.*") if file.is_file()) == ["c.pdf"]


async def test_what_is_still_being_written_is_left_and_reported(scene: Scene) -> None:
    drop(scene, "a.csv")

    def between(_left: int) -> None:
        (scene.inbox / "a.csv").write_text("1, and more")

    scene.between = between
    await scene.follow(scene.watch().once())
    assert scene.worked == []
    assert scene.troubles == ["a.csv: still being written, or cut off; left for the next time."]


async def test_an_empty_inbox_is_not_waited_for(scene: Scene) -> None:
    await scene.follow(scene.watch().once())
    assert scene.time == 0.0


async def test_what_is_still_processed_stays_and_is_looked_at_again_later(scene: Scene) -> None:
    drop(scene, "a.csv")
    scene.outcomes["a.csv"] = [ended(State.ACCEPTED), ended(State.ACCEPTED)]
    scene.naps = 100
    await scene.follow(scene.watch().forever(10.0))
    assert [place for _, place in scene.reported] == [None, None, "done"]
    times = [at for at, _ in scene.worked]
    assert [later - earlier for earlier, later in pairwise(times)] == [AGAIN, AGAIN]


async def test_what_an_earlier_watch_began_is_gone_on_with_first(scene: Scene) -> None:
    drop(scene, "b.csv")
    Folders(scene.inbox).take(scene.inbox / "b.csv")
    drop(scene, "a.csv")
    await scene.follow(scene.watch().once())
    assert [name for _, name in scene.worked] == ["b.csv", "a.csv"]


async def test_an_outage_keeps_the_sheet_and_others_go_on(scene: Scene) -> None:
    drop(scene, "a.csv", "b.csv")
    scene.outcomes["a.csv"] = [SheetOutcome(Path(), Unreachable("host", 3, "no"))]
    await scene.follow(scene.watch().once())
    assert dict(scene.reported) == {"a.csv": None, "b.csv": "done"}
    assert [case.sheet.name for case in Folders(scene.inbox).begun()] == ["a.csv"]


async def test_refused_keys_end_the_watch_and_lose_nothing(scene: Scene) -> None:
    drop(scene, "a.csv", "b.csv")
    scene.outcomes |= {name: [SheetOutcome(Path(), AccessDenied(401, "no"))] for name in ("a.csv", "b.csv")}
    with pytest.raises(AccessDenied):
        await scene.follow(scene.watch().forever(10.0))
    assert len(scene.worked) == 1
    assert len(Folders(scene.inbox).begun()) + len(list(scene.inbox.glob("*.csv"))) == 2


async def test_a_folder_that_is_gone_for_a_while_is_reported_once(scene: Scene) -> None:
    watch, away, scene.naps = scene.watch(), scene.inbox.with_name("away"), 6

    def between(left: int) -> None:
        if left == 4:
            scene.inbox.rename(away)
        if left == 2:
            away.rename(scene.inbox)
            drop(scene, "a.csv")

    scene.between = between
    await scene.follow(watch.forever(10.0))
    assert len(scene.troubles) == 1
    assert scene.troubles[0].endswith("It is tried again.")
    assert scene.reported == [("a.csv", "done")]


async def test_when_it_is_over_no_further_sheet_is_begun(scene: Scene) -> None:
    drop(scene, "a.csv", "b.csv")
    watch = scene.watch()
    work = watch.work

    async def last(case: Case) -> SheetOutcome:
        scene.naps = 0
        return await work(case)

    watch.work = last
    await scene.follow(watch.forever(10.0))
    assert len(scene.worked) == 1
    assert len(list(scene.inbox.glob("*.csv"))) == 1
