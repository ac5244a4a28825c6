"""Every fault over a real socket: what becomes of the row, in which words, and what was really done.

It is the table in `leadsquared.protocol`, seen from outside.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from direct import DirectClient
from ledgers import seen_in_words
from pydantic import SecretStr
from trial import (
    CREATE,
    FAST,
    KEY,
    OF_LEAD,
    OF_TYPE,
    REVOKE,
    SECRET,
    SHARE,
    STATUS,
    Fault,
    Trial,
    hurry,
    options,
    trial,
)

from batch_share.errors import AccessDenied
from batch_share.jobs.revoke import PASSES
from batch_share.leadsquared.client import Client
from batch_share.leadsquared.protocol import Answer, Lost, NotSent
from batch_share.leadsquared.protocol import Call as Request
from batch_share.ledger.states import State
from batch_share.results.wording import ExitCode
from batch_share.sandbox import Sandbox
from batch_share.sandbox.endpoints import HANDLERS
from batch_share.sandbox.faults import KINDS, Particulars, strike
from batch_share.sending.calls import READ_TRIES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from trial import Step, Wrapper

    from batch_share.jobs.job import Ending
    from batch_share.sandbox.wire import Reply, SandboxCall

BY_IDS, USERS = "LeadManagement.svc/Leads/Retrieve/ByIds", "UserManagement.svc/Users.Get"
QUICK = Particulars(FAST, retry_after=0.02, away=0.05, drip=0.05)
NO_ANSWER, CUT_OFF = "sent, but no answer came in time", "sent, but the connection was lost before the answer"
NOT_UNDERSTOOD = "the answer was not understood"

OPEN = {
    "bad-json": f'{NOT_UNDERSTOOD}: HTTP 200: {{"Status":"Success","Message":{{"Id":"',
    "no-id": "the answer has no Id",
    "html": f"{NOT_UNDERSTOOD}: HTTP 200: Down for maintenance",
    "truncated": "sent, but the answer broke off",
    "204": f"{NOT_UNDERSTOOD}: HTTP 204 with an empty body",
    "302": "HTTP 302: the host to set may be https://elsewhere.invalid",
    "500": "HTTP 500: Internal Server Error",
    "502": "HTTP 502: Bad Gateway",
    "503": "HTTP 503: Service Unavailable",
    "504": "HTTP 504: Gateway Timeout",
    "reset": CUT_OFF,
    "silent": NO_ANSWER,
    "refused": CUT_OFF,
}
"""What is said of a call that may have been done or not."""

REFUSED = {
    "error-envelope": "The request can not be processed",
    "failed": "The request failed",
    "400": "The request body is malformed",
    "500-mx": "The entity does not exist",
}
DENIED = {"401": "Invalid Access Details provided.", "403": "You are not allowed to use this API"}
THROTTLED = ["throttle-200", "429", "429-retry-after"]
STRANGE = ["wrong-type", "slow"]
CONTRADICTING = ["404", "applied-404"]
"""What denies an API that is there: see test_accounts."""

OPEN_KINDS = [*OPEN, *(f"applied-{kind}" for kind in OPEN)]
FEW = ["no-id", "truncated", "302", "502", "reset", "silent", "500-mx"]
"""Of those, enough to try where all take one way."""

STEPS = {CREATE: "activity", SHARE: "share"}

both_steps = pytest.mark.parametrize("endpoint", [CREATE, SHARE], ids=["Create", "Share"])


def once(endpoint: str, kind: str, numbers: Sequence[int] = (2,), particulars: Particulars = QUICK) -> Fault:
    """Lets `kind` hit certain calls of `endpoint`: the second one, if nothing else is said."""
    return Fault(endpoint, numbers, partial(strike, kind, particulars))


@dataclass(slots=True)
class Peek:
    """Looks into the ledger as a run looks for a lost activity: its row, before that is settled."""

    folder: Path
    found: list[Any] = field(default_factory=list)

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """A wrapper of the sandbox."""
        if call.endpoint == OF_LEAD:
            query = "SELECT state, stage, reason FROM rows WHERE state = 'unknown'"
            self.found += seen_in_words(self.folder / "leads.csv.ledger.db", query)
        return await step(call)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, 0.06)


def few_rows(folder: Path, *faults: Wrapper, **changes: Any) -> AbstractAsyncContextManager[Trial]:
    """A trial with two rows, where nothing else is said, in a small account."""
    return trial(folder, *faults, **{"rows": 2, "leads": 3, "users": 7} | changes)


async def run(it: Trial, **changes: Any) -> Ending:
    """Run the sheet, row by row."""
    return await it.run(workers=1, **changes)


def patience(kind: str) -> float:
    """How long an answer is waited for: where none comes, not long."""
    return 0.25 if kind.endswith("silent") else 30.0


def one_row(it: Trial, state: State) -> tuple[Any, ...]:
    """Stage and reason of the one row that is in this state."""
    ((stage, reason),) = it.query(f"SELECT stage, reason FROM rows WHERE state = '{state}'")
    return stage, reason


def is_clean(it: Trial, rows: int = 2) -> bool:
    """Whether there is one activity and one live share for each row, and none twice."""
    report = it.sandbox.report()
    return (report["activities"], report["duplicates"], report["live_shares"]["count"]) == (rows, 0, rows)


async def settled(it: Trial) -> bool:
    """Whether a plain run leaves every row shared, and the server holds just that."""
    ending = await run(it)
    return (ending.error, ending.summary.states) == (None, {State.SHARED: 2}) and is_clean(it)


def test_the_tables_of_this_file_name_every_fault() -> None:
    others = {name for name, kind in KINDS.items() if kind.of is not None}
    assert {*OPEN_KINDS, *REFUSED, *DENIED, *THROTTLED, *STRANGE, *CONTRADICTING} | others == set(KINDS)


# -------------------------------------------------------------------------------------------- activities and shares


@pytest.mark.parametrize("kind", OPEN_KINDS)
async def test_an_activity_that_may_have_been_posted_is_unknown_then_looked_up(tmp_path: Path, kind: str) -> None:
    applied, peek = kind.startswith("applied-"), Peek(tmp_path)
    async with few_rows(tmp_path, once(CREATE, kind), peek) as it:
        parked = await run(it, on_unknown="park", answer_timeout=patience(kind))
        words = OPEN[kind.removeprefix("applied-")]
        reason = f"it is unknown whether the activity was posted: {words}. The next run or "
        reason += (
            "`batch-share resume --only-unknown` looks it up before it sends again (never with --on-unknown park)"
        )
        assert peek.found[0] == ("unknown", "activity", reason)
        assert it.query("SELECT step, words FROM attempts WHERE outcome = 'lost'") == [("activity", words)]
        assert len(it.leads_sent()) == (2 if applied else 1)
        if applied:
            assert parked.summary.states == {State.SHARED: 2}
        else:
            assert parked.summary.states == {State.SHARED: 1, State.UNKNOWN: 1}
            assert parked.exit_code is ExitCode.SOME_UNKNOWN
            stage, reason = one_row(it, State.UNKNOWN)
            assert (stage, "not found in two looks, and --on-unknown park" in reason) == (
                "activity",
                True,
            )
        assert await settled(it)
        assert len(it.leads_sent()) == 2


@pytest.mark.parametrize("kind", OPEN_KINDS)
async def test_a_share_that_may_have_been_accepted_is_unknown_then_repeated(tmp_path: Path, kind: str) -> None:
    async with few_rows(tmp_path, once(SHARE, kind)) as it:
        parked = await run(it, on_unknown="park", answer_timeout=patience(kind))
        assert parked.summary.states == {State.SHARED: 1, State.UNKNOWN: 1}
        words = OPEN[kind.removeprefix("applied-")]
        reason = f"it is unknown whether the share was accepted: {words}. The next run or "
        reason += (
            "`batch-share resume --only-unknown` looks it up before it sends again (never with --on-unknown park)"
        )
        assert one_row(it, State.UNKNOWN) == ("share", reason)
        assert it.sandbox.report()["live_shares"]["count"] == (2 if kind.startswith("applied-") else 1)
        assert await settled(it)
        assert len(it.sent(SHARE)) == 3
        assert len({call["activity"] for call in it.sent(SHARE) if call["outcome"] == "done"}) == 2


@both_steps
@pytest.mark.parametrize("kind", REFUSED)
async def test_a_refusal_fails_its_row_and_is_not_repeated(tmp_path: Path, endpoint: str, kind: str) -> None:
    async with few_rows(tmp_path, once(endpoint, kind)) as it:
        ending = await run(it)
        assert ending.summary.states == {State.SHARED: 1, State.FAILED: 1}
        step = STEPS[endpoint]
        assert one_row(it, State.FAILED) == (step, f"LeadSquared refused the {step}: {REFUSED[kind]}")
        again = await run(it)
        assert (again.exit_code, again.summary.states) == (ExitCode.SOME_FAILED, ending.summary.states)
        assert len(it.sent(endpoint)) == 2
        assert it.sandbox.report()["live_shares"]["count"] == 1


@both_steps
@pytest.mark.parametrize("kind", DENIED)
async def test_refused_keys_stop_the_run_and_leave_the_row_to_be_sent(
    tmp_path: Path, endpoint: str, kind: str
) -> None:
    async with few_rows(tmp_path, once(endpoint, kind)) as it:
        ending = await run(it, follow_up=False)
        assert isinstance(ending.error, AccessDenied)
        assert str(ending.error).startswith(
            f"LeadSquared refused access (HTTP {kind}): {DENIED[kind].rstrip('.')}. Check the keys"
        )
        left = State.PENDING if endpoint == CREATE else State.POSTED
        assert ending.summary.states == {State.ACCEPTED: 1, left: 1}
        assert await settled(it)


@both_steps
@pytest.mark.parametrize("kind", THROTTLED)
async def test_a_throttled_call_is_made_again(tmp_path: Path, endpoint: str, kind: str) -> None:
    async with few_rows(tmp_path, once(endpoint, kind)) as it:
        assert (await run(it)).summary.states == {State.SHARED: 2}
        assert [call["outcome"] for call in it.sent(endpoint)] == ["done", "refused", "done"]
        assert is_clean(it)


@both_steps
@pytest.mark.parametrize("kind", STRANGE)
async def test_a_right_answer_in_a_strange_form_is_an_answer(tmp_path: Path, endpoint: str, kind: str) -> None:
    async with few_rows(tmp_path, once(endpoint, kind)) as it:
        assert (await run(it)).summary.states == {State.SHARED: 2}
        assert it.query("SELECT count(*) FROM attempts WHERE step = 'look' OR outcome = 'lost'") == [(0,)]
        assert is_clean(it)


async def test_a_redirect_is_never_followed(tmp_path: Path) -> None:
    async with Sandbox(options()) as other:
        away = Particulars(FAST, elsewhere=f"{other.url}/v2/{CREATE}")
        async with few_rows(tmp_path, once(CREATE, "302", particulars=away)) as it:
            assert (await run(it)).summary.states == {State.SHARED: 2}
            assert is_clean(it)
        assert other.report()["total_calls"] == 0


# -------------------------------------------------------------------------------------------- the status API

UNREAD = {**OPEN, **REFUSED, "id-gone": "Request Id does not exist"}
NOT_YET = {
    "no-id": "no ShareStatus",
    "pending": "ShareStatus 1: Request is queued.",
    "unknown-number": "ShareStatus 4711: Request is in a state that nobody knows.",
}


def not_processed(kind: str) -> str:
    """What is said of a request after an answer of the status API that does not say "processed"."""
    plain = kind.removeprefix("applied-")
    if plain in NOT_YET:
        return f", not yet processed ({NOT_YET[plain]})"
    advice = "" if plain in OPEN else ". Check the lead in LeadSquared"
    return f"; its status could not be read: {UNREAD[plain].rstrip('.')}{advice}"


@pytest.mark.parametrize("kind", [*OPEN, "applied-reset", *REFUSED, "pending", "unknown-number", "id-gone"])
async def test_a_status_that_does_not_say_processed_leaves_the_row_accepted(tmp_path: Path, kind: str) -> None:
    async with few_rows(tmp_path, once(STATUS, kind)) as it:
        ending = await run(it, answer_timeout=patience(kind))
        assert (ending.error, ending.exit_code) == (None, ExitCode.STILL_PROCESSING)
        assert ending.summary.states == {State.SHARED: 1, State.ACCEPTED: 1}
        assert one_row(it, State.ACCEPTED) == (None, f"accepted{not_processed(kind)}")
        assert (await it.follow_up()).summary.states == {State.SHARED: 2}
        assert is_clean(it)
        assert len(it.sent(SHARE)) == 2


@pytest.mark.parametrize("kind", DENIED)
async def test_refused_keys_stop_the_follow_up(tmp_path: Path, kind: str) -> None:
    async with few_rows(tmp_path, once(STATUS, kind)) as it:
        ending = await run(it)
        assert isinstance(ending.error, AccessDenied)
        assert ending.summary.states == {State.SHARED: 1, State.ACCEPTED: 1}
        assert await settled(it)


@pytest.mark.parametrize("kind", [*THROTTLED, *STRANGE])
async def test_a_status_that_comes_late_or_strangely_counts(tmp_path: Path, kind: str) -> None:
    async with few_rows(tmp_path, once(STATUS, kind)) as it:
        assert (await run(it)).summary.states == {State.SHARED: 2}
        assert len(it.sent(STATUS)) == (3 if kind in THROTTLED else 2)
        assert is_clean(it)


@pytest.mark.parametrize("kind", ["pending", "unknown-number", "id-gone"])
async def test_what_the_status_api_never_says_is_never_guessed(tmp_path: Path, kind: str) -> None:
    async with few_rows(tmp_path, faults=f"Status:{kind}=100%") as it:
        for _ in range(2):
            ending = await run(it)
            assert ending.summary.states == {State.ACCEPTED: 2}
            assert ending.exit_code is ExitCode.STILL_PROCESSING
        assert is_clean(it)


# -------------------------------------------------------------------------------------------- revoking


async def shared(it: Trial) -> Trial:
    """The trial, once its two rows are shared."""
    assert (await run(it)).summary.states == {State.SHARED: 2}
    return it


async def revoked_earlier(it: Trial) -> bool:
    """Whether one more `revoke` leaves nothing shared, and nothing was shared or posted twice."""
    ending, report = await it.revoke(workers=1), it.sandbox.report()
    ended = (ending.error, ending.exit_code, ending.summary.states) == (None, ExitCode.DONE, {State.REVOKED: 2})
    return ended and (it.live(), report["activities"], report["duplicates"], len(it.sent(SHARE))) == (0, 2, 0, 2)


@pytest.mark.parametrize("kind", OPEN_KINDS)
async def test_a_share_that_may_have_been_revoked_is_unknown_and_revoked_again(tmp_path: Path, kind: str) -> None:
    async with few_rows(tmp_path, once(REVOKE, kind, range(2, 2 + PASSES))) as it:
        ending = await (await shared(it)).revoke(workers=1, answer_timeout=patience(kind))
        assert ending.summary.states == {State.REVOKED: 1, State.UNKNOWN: 1}
        assert (ending.error, ending.exit_code) == (None, ExitCode.SOME_UNKNOWN)
        words = OPEN[kind.removeprefix("applied-")]
        reason = f"it is unknown whether the share was revoked: {words}. "
        reason += "`batch-share revoke` revokes it again, which does no harm"
        assert one_row(it, State.UNKNOWN) == ("revoke", reason)
        assert it.live() == (0 if kind.startswith("applied-") else 1)
        assert await revoked_earlier(it)
        assert len(it.sent(REVOKE)) == 2 + PASSES


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_share_that_is_refused_to_be_revoked_stands_and_says_so(tmp_path: Path, kind: str) -> None:
    async with few_rows(tmp_path, once(REVOKE, kind)) as it:
        ending = await (await shared(it)).revoke(workers=1)
        assert ending.summary.states == {State.REVOKED: 1, State.FAILED: 1}
        assert (ending.error, ending.exit_code) == (None, ExitCode.SOME_FAILED)
        reason = f"the share still stands: LeadSquared refused to revoke it: {REFUSED[kind]}"
        assert (one_row(it, State.FAILED), it.live()) == (("revoke", reason), 1)
        assert await revoked_earlier(it)
        assert len(it.sent(REVOKE)) == 3


@pytest.mark.parametrize("kind", DENIED)
async def test_refused_keys_stop_the_undo_and_leave_the_share_to_be_revoked(tmp_path: Path, kind: str) -> None:
    async with few_rows(tmp_path, once(REVOKE, kind)) as it:
        ending = await (await shared(it)).revoke(workers=1, follow_up=False)
        assert isinstance(ending.error, AccessDenied)
        assert ending.summary.states == {State.ENDING: 1, State.TO_REVOKE: 1}
        assert (one_row(it, State.TO_REVOKE), it.live()) == ((None, None), 1)
        assert await revoked_earlier(it)


@pytest.mark.parametrize("kind", [*THROTTLED, *STRANGE])
async def test_a_share_is_revoked_late_or_with_a_strange_answer(tmp_path: Path, kind: str) -> None:
    async with few_rows(tmp_path, once(REVOKE, kind)) as it:
        assert (await (await shared(it)).revoke(workers=1)).summary.states == {State.REVOKED: 2}
        assert len(it.sent(REVOKE)) == (3 if kind in THROTTLED else 2)
        assert await revoked_earlier(it)


@pytest.mark.parametrize("kind", [*OPEN, "applied-reset", *REFUSED, "pending", "unknown-number", "id-gone"])
async def test_a_status_that_does_not_say_processed_leaves_the_share_ending(tmp_path: Path, kind: str) -> None:
    async with few_rows(tmp_path, once(STATUS, kind, [4])) as it:  # the first two are of the shares
        ending = await (await shared(it)).revoke(workers=1, answer_timeout=patience(kind))
        assert ending.summary.states == {State.REVOKED: 1, State.ENDING: 1}
        assert (ending.error, ending.exit_code) == (None, ExitCode.STILL_PROCESSING)
        ((request,),) = it.query("SELECT revoke_id FROM rows WHERE state = 'ending'")
        reason = f"being revoked (request Id {request}){not_processed(kind)}"
        assert one_row(it, State.ENDING) == (None, reason)
        assert await revoked_earlier(it)
        assert len(it.sent(REVOKE)) == 2


@pytest.mark.parametrize("kind", DENIED)
async def test_refused_keys_stop_the_follow_up_of_an_undo(tmp_path: Path, kind: str) -> None:
    async with few_rows(tmp_path, once(STATUS, kind, [4])) as it:
        ending = await (await shared(it)).revoke(workers=1)
        assert isinstance(ending.error, AccessDenied)
        assert ending.summary.states == {State.REVOKED: 1, State.ENDING: 1}
        assert await revoked_earlier(it)


@pytest.mark.parametrize("kind", [*THROTTLED, *STRANGE])
async def test_the_status_of_an_undo_that_comes_late_or_strangely_counts(tmp_path: Path, kind: str) -> None:
    async with few_rows(tmp_path, once(STATUS, kind, [4])) as it:
        assert (await (await shared(it)).revoke(workers=1)).summary.states == {State.REVOKED: 2}
        assert await revoked_earlier(it)


@pytest.mark.parametrize("kind", ["pending", "unknown-number", "id-gone"])
async def test_what_the_status_api_never_says_of_an_undo_is_never_guessed(tmp_path: Path, kind: str) -> None:
    async with few_rows(tmp_path, faults=f"Status:{kind}=100%") as it:
        assert (await run(it)).summary.states == {State.ACCEPTED: 2}
        for _ in range(2):
            ending = await it.revoke(workers=1)
            assert (ending.summary.states, ending.exit_code) == ({State.ENDING: 2}, ExitCode.STILL_PROCESSING)
        assert (it.live(), len(it.sent(REVOKE)), len(it.sent(SHARE))) == (0, 2, 2)


# -------------------------------------------------------------------------------------------- look-ups


def hits(kind: str) -> Sequence[int]:
    """The calls that must go wrong: what goes unanswered is asked for again."""
    return [1] if kind in REFUSED else range(1, 1 + READ_TRIES)


@pytest.mark.parametrize("endpoint", [BY_IDS, USERS], ids=["Leads", "Users"])
@pytest.mark.parametrize("kind", FEW)
async def test_where_a_look_up_has_no_proper_answer_the_next_one_is_asked(
    tmp_path: Path, endpoint: str, kind: str
) -> None:
    async with few_rows(tmp_path, once(endpoint, kind, hits(kind))) as it:
        ending = await run(it, answer_timeout=patience(kind))
        assert (ending.error, set(ending.summary.states)) == (None, {State.SHARED})
        other = "LeadManagement.svc/Leads.GetById" if endpoint == BY_IDS else "User/Retrieve/ByUserId"
        assert [call for call in it.sandbox.report()["calls"] if call.endswith(other)]
        assert await settled(it)


@pytest.mark.parametrize("endpoint", [BY_IDS, USERS, OF_LEAD], ids=["Leads", "Users", "Retrieve"])
@pytest.mark.parametrize("kind", ["401"])
async def test_keys_refused_in_a_look_up_end_the_run(tmp_path: Path, endpoint: str, kind: str) -> None:
    async with few_rows(tmp_path, once(endpoint, kind, [1])) as it:
        ending = await run(it)
        assert isinstance(ending.error, AccessDenied)
        assert len(it.sent(CREATE)) == (1 if endpoint == OF_LEAD else 0)
        assert it.sent(SHARE) == []
        assert await settled(it)


@pytest.mark.parametrize("endpoint", [BY_IDS, USERS, OF_LEAD], ids=["Leads", "Users", "Retrieve"])
@pytest.mark.parametrize("kind", ["throttle-200", "429-retry-after", "slow", "502", "reset", "truncated"])
async def test_a_look_up_goes_on_where_it_may(tmp_path: Path, endpoint: str, kind: str) -> None:
    async with few_rows(tmp_path, once(endpoint, kind, [1])) as it:
        assert await settled(it)


@pytest.mark.parametrize("kind", FEW)
async def test_an_owner_that_could_not_be_read_is_read_again(tmp_path: Path, kind: str) -> None:
    async with few_rows(tmp_path, once(OF_LEAD, kind, [1])) as it:
        ending = await run(it, answer_timeout=patience(kind))
        assert ending.summary.states == {State.SHARED: 2}
        # What is refused is asked of another API.
        assert len(it.sent(OF_LEAD)) == (1 if kind in REFUSED else 2)
        assert is_clean(it)


@pytest.mark.parametrize("kind", FEW)
async def test_a_look_at_a_lead_that_goes_wrong_proves_nothing(tmp_path: Path, kind: str) -> None:
    """A lost answer is asked for again; what is refused leaves the row to the next run."""
    faults = once(CREATE, "applied-reset"), once(OF_LEAD, kind, [2])
    async with few_rows(tmp_path, *faults) as it:
        ending = await run(it, answer_timeout=patience(kind))
        if kind in REFUSED:
            assert ending.summary.states == {State.SHARED: 1, State.UNKNOWN: 1}
            stage, reason = one_row(it, State.UNKNOWN)
            assert (stage, REFUSED[kind] in reason) == ("activity", True)
            assert "the lead's activities could not be read" in reason
        else:
            assert ending.summary.states == {State.SHARED: 2}
        assert await settled(it)
        assert len(it.leads_sent()) == 2


@pytest.mark.parametrize("kind", ["no-id", "truncated", "502", "reset", "500-mx", "429", "slow"])
async def test_a_look_at_a_type_that_goes_wrong_proves_nothing(tmp_path: Path, kind: str) -> None:
    faults = once(CREATE, "applied-reset", range(2, 7)), once(OF_TYPE, kind, [1])
    async with few_rows(tmp_path, *faults, rows=6, leads=6) as it:
        ending = await run(it)
        assert ending.summary.states == {State.SHARED: 6}
        assert ending.looked_up == {"found": 5}
        assert is_clean(it, rows=6)


# -------------------------------------------------------------------------------------- every endpoint, both ways


@dataclass(frozen=True, slots=True)
class Always:
    """Lets a fault hit every call."""

    kind: str

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """A wrapper of the sandbox."""
        return await strike(self.kind, Particulars(FAST, retry_after=0.02, away=0.02, drip=0.01), step, call)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_fault_is_the_same_at_every_endpoint_with_and_without_a_socket(kind: str) -> None:
    keys, seconds = (SecretStr(KEY), SecretStr(SECRET)), 0.2 if kind.endswith("silent") else 30.0
    calls = [
        Request("POST" if verb == "POST" else "GET", path, body=b"{}" if verb == "POST" else None)
        for verb, path in HANDLERS
    ]
    async with Sandbox(options(leads=3, users=7), wrappers=[Always(kind)]) as there:
        here = Sandbox(options(leads=3, users=7), wrappers=[Always(kind)])
        async with (
            Client(there.url, *keys, answer_seconds=seconds) as far,
            DirectClient(here, answer_seconds=seconds) as near,
        ):
            heard = await answers(far, calls, kind), await answers(near, calls, kind)
    assert heard[0] == heard[1]
    assert there.report()["outcomes"] == here.report()["outcomes"]
    assert there.report()["faults"] == here.report()["faults"] == {kind: len(calls)}
    assert ("done" in there.report()["outcomes"]) is KINDS[kind].applied


async def answers(client: Client | DirectClient, calls: Sequence[Request], kind: str) -> list[object]:
    """What a client makes of each call, without what only a real server adds."""
    if not kind.endswith("refused"):
        return [plain(heard) for heard in await asyncio.gather(*map(client.send, calls))]
    return [plain(await answer_of(client, call)) for call in calls]


async def answer_of(client: Client | DirectClient, call: Request) -> Answer | NotSent | Lost:
    """What becomes of a call, tried until there is a connection."""
    async with asyncio.timeout(60):
        while isinstance(heard := await client.send(call), NotSent):
            assert heard.words == "no connection: Connection refused"
            await asyncio.sleep(0.005)
    return heard


def plain(heard: object) -> object:
    """An answer without what only a real server adds: a date, a length, the name that it was called by."""
    if not isinstance(heard, Answer):
        return heard
    kept = {name: value for name in ("location", "retry-after") if (value := heard.headers.get(name)) is not None}
    return heard.status, kept, re.sub(rb'"api": "[^"]*"', b"", heard.body)
