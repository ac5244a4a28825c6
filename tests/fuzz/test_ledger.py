"""A ledger under any order of calls, legal or not, with crashes between them, held against a model of a few lines.

Whatever is asked of it, a row is in one state, enters another only as the table says, and loses nothing in a crash.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
from fuzzing import FUZZED
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from ledgers import HOST, NOON, always, new_row, seen_from_outside, sheet_record
from sqlalchemy import create_engine
from virtual_time import VirtualTimeLoop

from batch_share.errors import IllegalTransition
from batch_share.ledger.database import Database, connect
from batch_share.ledger.files import LedgerName
from batch_share.ledger.records import Result, Row
from batch_share.ledger.states import BEFORE, INTENT_OF, INTENTS, MAY_STAND, NEVER_SENT, TRANSITIONS, Stage, State
from batch_share.ledger.store import Ledger

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

PARTS = 4
"""The examples are shared out, so that several processes can try them."""

NUMBERS = (1, 2, 3, 4)
STEPS = st.sampled_from([Stage.ACTIVITY, Stage.SHARE])
ROWS = st.sampled_from(NUMBERS)
STATES = st.sampled_from(State)
HISTORY = {State.PENDING, State.FAILED, State.INVALID, State.SKIPPED}
"""What a row that no sheet has any more is in, of which nothing is at LeadSquared: it counts no more."""
FAST = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
COMPILED: dict[Any, Any] = {}
MEMORY = create_engine("sqlite://")
"""What was compiled for one ledger need not be for the next: they share the cache and the dialect."""


class PowerCut(Exception):
    """Ends a transaction in its middle."""


@dataclass
class Expected:
    """What the model says of a row. `tried`: an attempt was noted; `dropped`: its sheet lost it, posted."""

    state: State
    tried: bool = False
    dropped: bool = False


def result(state: State, number: int, step: Stage | None) -> Result:
    """A result that enters `state`, and what it would have learned."""
    learned: dict[str, str | int | None] = {}
    if state is State.POSTED and step is Stage.ACTIVITY:
        learned["activity_id"] = f"act{number}"
    if state is State.ACCEPTED:
        learned["request_id"] = f"req{number}"
    if state is State.ENDING:
        learned["revoke_id"] = f"rev{number}"
    stage = step if state in {State.FAILED, State.UNKNOWN} else None
    return Result(state, "done", stage=stage, learned=learned)


class LedgerMachine(RuleBasedStateMachine):
    """One ledger, one model."""

    def __init__(self) -> None:
        super().__init__()
        MEMORY.connect().close()  # the dialect learns its version
        self.loop = VirtualTimeLoop()
        self.folder = Path(tempfile.mkdtemp(dir=FAST))
        self.generation = 0
        self.model: dict[int, Expected] = {}
        self.sheet: set[int] = set()
        self.attempts: dict[int, int] = {}
        self.shown: dict[int, Row] = {}
        self.ledger = self.open()

    # ------------------------------------------------------------------------------------------ plumbing

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @property
    def file(self) -> Path:
        return self.folder / f"{self.generation}.db"

    def open(self) -> Ledger:
        engine = connect(self.file).execution_options(compiled_cache=COMPILED)
        engine.dialect = MEMORY.dialect
        ledger = Ledger(LedgerName.of(self.file), Database(engine, self.file), lambda: NOON)
        self.do(ledger.prepare(HOST))
        self.do(ledger.begin_run("run", "1.0", {}))
        for expected in self.model.values():
            if expected.state in INTENTS:
                expected.state = State.UNKNOWN
        return ledger

    def rows(self) -> dict[int, Row]:
        """What another process would read: by number, each row as far as a call needs it."""
        query = "SELECT id, sheet_row, state, activity_id, request_id FROM rows"
        return {
            sheet_row - 1: Row(
                row_id, "", sheet_row, [], State(state), None, None, activity_id=activity, request_id=request
            )
            for row_id, sheet_row, state, activity, request in seen_from_outside(self.file, query)
        }

    def attempt(self, work: Coroutine[Any, Any, Any], number: int, new: State, since: frozenset[State]) -> Any:
        """Do it; it must be refused exactly where the table says so, and then change nothing."""
        old = self.model[number].state
        if old in since and new in TRANSITIONS[old]:
            self.model[number].state, self.model[number].dropped = new, False  # it goes on from there
            return self.do(work)
        with contextlib.suppress(IllegalTransition):
            self.do(work)
            raise AssertionError(f"{old} became {new}")
        return None

    def teardown(self) -> None:
        self.do(self.ledger.close())
        self.loop.close()
        shutil.rmtree(self.folder)

    # ------------------------------------------------------------------------------------------ rules

    @rule(numbers=st.lists(ROWS, unique=True))
    def take_in(self, numbers: Sequence[int]) -> None:
        self.do(self.ledger.take_in(sheet_record(), [new_row(number) for number in numbers]))
        self.sheet = {*numbers}
        for number in numbers:
            expected = self.model.setdefault(number, Expected(State.PENDING))
            if expected.state in NEVER_SENT:
                expected.state = State.PENDING
            elif expected.dropped:
                expected.state, expected.dropped = State.POSTED, False
        for number in [*self.model]:
            if number not in numbers:
                self.lose(number)

    def lose(self, number: int) -> None:
        expected = self.model[number]
        if expected.state in NEVER_SENT and not expected.tried:
            del self.model[number]
        elif expected.state is State.PENDING:
            expected.state = State.SKIPPED
        elif expected.state is State.POSTED:
            expected.state, expected.dropped = State.FAILED, True

    @precondition(lambda self: self.model)
    @rule(data=st.data(), step=STEPS)
    def intend(self, data: st.DataObject, step: Stage) -> None:
        number = self.choose(data)
        work = self.ledger.intend([self.shown[number]], step, [f"marker{number}"])
        noted = self.attempt(work, number, INTENT_OF[step], frozenset(BEFORE.values()))
        if noted is not None:
            self.model[number].tried = True
            [self.attempts[number]] = noted

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), state=STATES)
    def settle(self, data: st.DataObject, state: State) -> None:
        number = data.draw(st.sampled_from(sorted(self.attempts)))
        step = INTENTS.get(self.model[number].state)
        work = self.ledger.settle([self.attempts[number]], [self.shown[number]], [result(state, number, step)])
        self.attempt(work, number, state, frozenset(INTENTS))

    @precondition(lambda self: self.model)
    @rule(data=st.data(), step=STEPS)
    def fail(self, data: st.DataObject, step: Stage) -> None:
        number = self.choose(data)
        work = self.ledger.end(self.shown[number], Result(State.FAILED, "failed", stage=step))
        self.attempt(work, number, State.FAILED, frozenset(BEFORE.values()))

    @precondition(lambda self: self.model)
    @rule(data=st.data(), state=STATES)
    def resolve(self, data: st.DataObject, state: State) -> None:
        number = self.choose(data)
        found = result(state, number, Stage.ACTIVITY)
        if state in {State.ACCEPTED, State.SHARED}:  # whose share is known elsewhere
            found = replace(found, learned={**found.learned, "request_id": f"req{number}"})
        work = self.ledger.resolve(NOON, {self.shown[number].id: found})
        if state is State.UNKNOWN and self.model[number].state is State.UNKNOWN:
            self.do(work)
        else:
            self.attempt(work, number, state, frozenset({State.UNKNOWN}))

    @rule(number=ROWS, state=STATES, request=st.sampled_from(["req", "rev"]))
    def note_status(self, number: int, state: State, request: str) -> None:
        before = State.ACCEPTED if request == "req" else State.ENDING
        waiting = number in self.model and self.model[number].state is before
        legal = state is before or state in TRANSITIONS[before]
        meant = result(state, number, Stage.PROCESSING)
        work = self.ledger.note_status(f"{request}{number}", NOON, always(meant))
        if waiting and not legal:
            self.attempt(work, number, state, frozenset({before}))
            return
        assert self.do(work) == (int(waiting), before if waiting else State.ACCEPTED, meant)
        if waiting:
            self.model[number].state = state

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def try_again(self, data: st.DataObject) -> None:
        number = self.choose(data)
        row = self.shown[number]
        state = State.POSTED if row.activity_id else State.PENDING
        failed = self.model[number].state is State.FAILED
        self.attempt(self.ledger.try_again({row.id: state}), number, state, frozenset({State.FAILED}))
        self.model[number].tried |= failed  # that it was tried again is an attempt, too
        self.model[number].dropped &= not failed

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        number = self.choose(data)
        since = frozenset(state for state, _ in MAY_STAND)
        self.attempt(self.ledger.undo([self.shown[number].id]), number, State.TO_REVOKE, since)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), state=STATES)
    def power_cut_in_a_transaction(self, data: st.DataObject, state: State) -> None:
        row = self.shown[self.choose(data)]

        def cut(connection: Any) -> None:
            with contextlib.suppress(IllegalTransition):
                self.ledger._move(connection, row.id, state, since=frozenset(State))
            raise PowerCut

        async def write() -> None:
            await self.ledger._database.write(cut)

        with contextlib.suppress(PowerCut):
            self.do(write())
        self.crash()

    @rule()
    def crash(self) -> None:
        """Go on with what is on the disk: the files as they are, and nothing that was only in memory."""
        abandoned, old = self.ledger, self.file
        self.generation += 1
        for suffix in ("", "-wal"):
            if (there := old.with_name(old.name + suffix)).is_file():
                shutil.copy(there, self.file.with_name(self.file.name + suffix))
        self.ledger = self.open()
        self.do(abandoned.close())

    @rule()
    def close(self) -> None:
        counted = {
            number: expected.state
            for number, expected in self.model.items()
            if number in self.sheet or self.shown[number].activity_id or expected.state not in HISTORY
        }
        assert self.do(self.ledger.counts()) == Counter(counted.values())
        self.do(self.ledger.end_run("done"))
        self.do(self.ledger.close())
        self.ledger = self.open()

    def choose(self, data: st.DataObject) -> int:
        return int(data.draw(st.sampled_from(sorted(self.model))))

    # ------------------------------------------------------------------------------------------ invariants

    @invariant()
    def every_row_is_where_the_model_says(self) -> None:
        self.shown = self.rows()
        assert {number: row.state for number, row in self.shown.items()} == {
            number: expected.state for number, expected in self.model.items()
        }
        for number, row in self.shown.items():
            if row.state in {State.ACCEPTED, State.SHARED}:
                assert row.request_id == f"req{number}"
            if row.state is State.POSTED:
                assert row.activity_id == f"act{number}"


@pytest.mark.parametrize("part", range(PARTS))
def test_a_ledger_does_what_its_model_says(part: int) -> None:
    examples = -(-FUZZED.max_examples // PARTS)
    run_state_machine_as_test(
        LedgerMachine, settings=settings(FUZZED, max_examples=examples, stateful_step_count=25)
    )
