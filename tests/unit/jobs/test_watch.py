"""The watch over an inbox, in no time: the clock and the sleep are the test's own, the work is told beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import pytest

from batch_share.errors import AccessDenied, BatchShareError, SheetError, Unreachable
from batch_share.jobs import watch as watch_room
from batch_share.jobs.job import Ending
from batch_share.jobs.watch import AGAIN, FolderTrouble, Inbox, Watch
from batch_share.ledger.files import LedgerName
from batch_share.ledger.states import State
from batch_share.planning.plan import SheetOptions
from batch_share.results.wording import Summary
from batch_share.sending.session import Stop
from batch_share.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batch_share.jobs.job import Kind
    from batch_share.jobs.run import RunSheet


def ended(state: State = State.SHARED) -> Ending:
    return Ending(Summary({state: 1}, LedgerName.of("ledger")))


class Naps(Stop):
    """A Stop that is asked after so many sleeps, which take no time; `between` may do something in each."""

    def __init__(self, naps: int = 3) -> None:
        super().__init__()
        self.naps, self.time = naps, 0.0
        self.between: Callable[[int], None] = lambda left: None

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.naps -= 1
        if self.naps <= 0:
            self.ask()
        self.between(self.naps)


@dataclass
class Scene:
    """An inbox and all that its watch works with."""

    folder: Path
    stop: Naps = field(default_factory=Naps)
    outcomes: dict[str, list[Ending | BatchShareError]] = field(default_factory=dict)
    worked: list[tuple[float, str]] = field(default_factory=list)
    reported: list[tuple[str, str | None]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    async def run(self, job: Kind, _settings: Settings, _agreed: bool) -> Ending:
        name = cast("RunSheet", job).sheet.sheet.name
        self.worked.append((self.stop.time, name))
        left = self.outcomes.get(name, [])
        outcome = left.pop(0) if left else ended()
        if isinstance(outcome, BatchShareError):
            raise outcome
        return outcome

    async def watch(self, *, once: bool = False) -> None:
        inbox = Inbox(self.folder, clock=lambda: self.stop.time)
        settings = Settings.model_construct()
        watch = Watch(inbox, settings, SheetOptions(), self.run, self.stop, self.troubles.append)
        async for outcome in watch.outcomes(10.0, once=once):
            assert outcome.sheet.is_file()
            self.reported.append((outcome.sheet.name, outcome.place))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def drop(scene: Scene, *names: str) -> None:
    for name in names:
        (scene.folder / name).write_text("1")


async def test_what_is_there_is_done_once(scene: Scene) -> None:
    drop(scene, "a.csv", "b.csv", "c.pdf")
    scene.outcomes["b.csv"] = [ended(State.FAILED)]
    await scene.watch(once=True)
    assert sorted(scene.reported) == [("a.csv", "done"), ("b.csv", "failed")]
    assert sorted(file.name for file in scene.folder.glob("*.*") if file.is_file()) == ["c.pdf"]


async def test_where_its_ledger_goes_is_noted(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    moves: list[tuple[Path, Path]] = []

    def note(_settings: Settings, old: LedgerName, new: LedgerName, _remark: Callable[[str], None]) -> None:
        moves.append((old.as_file(), new.as_file()))

    def work(_naps: int) -> None:
        for sheet in Inbox(scene.folder).begun():
            LedgerName.of_sheet(sheet).as_file().touch()

    monkeypatch.setattr(watch_room, "note_move", note)
    drop(scene, "a.csv", "b.csv")
    scene.outcomes |= {"a.csv": [ended(State.ACCEPTED)], "b.csv": [SheetError(scene.folder, "bad")]}
    scene.stop.naps, scene.stop.between = 40, work
    await scene.watch()
    ((old, new),) = moves
    assert (old.parents[1].name, new.parents[1].name, new.name) == ("working", "done", "a.csv.ledger.db")
    assert old.parent.name == new.parent.name


async def test_what_is_still_being_written_is_left_and_reported(scene: Scene) -> None:
    drop(scene, "a.csv")

    def between(_left: int) -> None:
        (scene.folder / "a.csv").write_text("1, and more")

    scene.stop.between = between
    await scene.watch(once=True)
    assert scene.worked == []
    assert scene.troubles == ["a.csv: still being written, or cut off; left for the next time."]


async def test_an_empty_inbox_is_not_waited_for(scene: Scene) -> None:
    await scene.watch(once=True)
    assert scene.stop.time == 0.0


async def test_what_is_still_processed_stays_and_is_looked_at_again_later(scene: Scene) -> None:
    drop(scene, "a.csv")
    scene.outcomes["a.csv"] = [ended(State.ACCEPTED), ended(State.ACCEPTED)]
    scene.stop.naps = 100
    await scene.watch()
    assert [place for _, place in scene.reported] == [None, None, "done"]
    times = [at for at, _ in scene.worked]
    assert [later - earlier for earlier, later in pairwise(times)] == [AGAIN, AGAIN]


async def test_what_an_earlier_watch_began_is_gone_on_with_first(scene: Scene) -> None:
    drop(scene, "b.csv")
    Inbox(scene.folder).take(scene.folder / "b.csv")
    drop(scene, "a.csv")
    await scene.watch(once=True)
    assert [name for _, name in scene.worked] == ["b.csv", "a.csv"]


async def test_an_outage_keeps_the_sheet_and_others_go_on(scene: Scene) -> None:
    drop(scene, "a.csv", "b.csv")
    scene.outcomes["a.csv"] = [Unreachable("host", 3, "no")]
    await scene.watch(once=True)
    assert dict(scene.reported) == {"a.csv": None, "b.csv": "done"}
    assert [sheet.name for sheet in Inbox(scene.folder).begun()] == ["a.csv"]


async def test_refused_keys_end_the_watch_and_lose_nothing(scene: Scene) -> None:
    drop(scene, "a.csv", "b.csv")
    scene.outcomes |= {name: [AccessDenied(401, "no")] for name in ("a.csv", "b.csv")}
    with pytest.raises(AccessDenied):
        await scene.watch()
    assert len(scene.worked) == 1
    assert len(Inbox(scene.folder).begun()) + len(list(scene.folder.glob("*.csv"))) == 2


async def test_a_folder_that_is_gone_for_a_while_is_reported_once(scene: Scene) -> None:
    away, scene.stop.naps = scene.folder.with_name("away"), 6

    def between(left: int) -> None:
        if left == 4:
            scene.folder.rename(away)
        if left == 2:
            away.rename(scene.folder)
            drop(scene, "a.csv")

    scene.stop.between = between
    await scene.watch()
    assert len(scene.troubles) == 1
    assert scene.troubles[0].endswith("It is tried again.")
    assert scene.reported == [("a.csv", "done")]


async def test_when_it_is_over_no_further_sheet_is_begun(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(scene, "a.csv", "b.csv")
    run = scene.run

    async def last(job: Kind, settings: Settings, agreed: bool) -> Ending:
        scene.stop.ask()
        return await run(job, settings, agreed)

    monkeypatch.setattr(scene, "run", last)
    await scene.watch()
    assert len(scene.worked) == 1
    assert len(list(scene.folder.glob("*.csv"))) == 1


async def test_a_folder_that_is_gone_ends_the_one_look(scene: Scene) -> None:
    scene.outcomes["a.csv"] = [ended(State.ACCEPTED)]
    drop(scene, "a.csv")

    def between(_left: int) -> None:
        scene.folder.rename(scene.folder.with_name("away"))

    scene.stop.between = between
    with pytest.raises(FolderTrouble, match="must be writable"):
        await scene.watch(once=True)


async def test_a_sheet_with_nothing_left_to_do_is_filed_without_a_job(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def is_agreed_to(_ledger: LedgerName) -> bool:
        return True

    async def nothing_due(_ledger: LedgerName) -> Summary | None:
        return ended().summary

    monkeypatch.setattr(watch_room, "is_agreed_to", is_agreed_to)
    monkeypatch.setattr(watch_room, "nothing_due", nothing_due)
    drop(scene, "a.csv")
    await scene.watch(once=True)
    assert (scene.worked, scene.reported) == ([], [("a.csv", "done")])


async def test_a_job_that_a_person_ends_ends_the_watch(scene: Scene) -> None:
    drop(scene, "a.csv", "b.csv")
    for name in ("a.csv", "b.csv"):
        scene.outcomes[name] = [Ending(Summary({State.PENDING: 1}, LedgerName.of("ledger")), interrupted=True)]
    await scene.watch()
    assert [place for _, place in scene.reported] == [None]
    assert scene.stop.asked
