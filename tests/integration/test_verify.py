"""What `verify` finds out about an account, told by the sandbox and its switches."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from trial import CREATE, REVOKE, SHARE, STATUS, Onlooker, trial

from batch_share.errors import BatchShareError, SettingsError
from batch_share.jobs.verify import Verification
from batch_share.ledger.states import State
from batch_share.sandbox.wire import Reply

if TYPE_CHECKING:
    from pathlib import Path

    from trial import Trial

    from batch_share.jobs.verify import Verified
    from batch_share.sandbox.server import Step
    from batch_share.sandbox.wire import SandboxCall


class Killed(BaseException):
    """Stands for the process having been killed."""


async def verified(it: Trial, **changes: Any) -> Verified:
    """Verify on the sandbox's tenth lead and third user."""
    lead, user = it.sandbox.world.leads[9], it.sandbox.world.users[2]
    settings = it.settings(event="201", wait=30.0, **changes)
    return await Verification(settings, Onlooker(), lead.id, user.email).carry_out()


def seen(found: Verified) -> dict[str, str]:
    """What was seen, by question."""
    return {each.question: each.seen for each in found.answers}


OWNER = "Does an activity that is posted by itself get its owner?"
IN_BULK = "Does an activity that is posted in bulk get its owner?"
OWNER_SHOWN = "How do reads show an activity's owner?"
NOTE_SHOWN = "How do reads show an activity's note?"
LAG = "How soon do reads show an activity?"
PROCESSED = "Is a share processed?"
AGAIN = "What comes of sharing again by the same activity?"
NO_LEAD = "What does a wrong lead number look like?"
NO_USER = "What does a wrong user look like?"
NO_REQUEST = "What does an unknown request Id look like?"
SEVERAL = "Are several shares taken in one call?"
REVOKED = "Is a revocation processed?"
PLANTED = "zqplantedqz"
SPELLINGS = "By which names are Ids shown?"
IN = "Does the look-up of leads by number, many to a call (IN) answer?"
GUIDS = "Does the look-up of leads by GUID, many to a call answer?"


async def test_against_the_sandbox_all_is_as_documented_or_guessed(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        found = await verified(it)
        told = seen(found)
        looked_up = {each for question, each in told.items() if question.startswith("Does the look-up")}
        assert looked_up == {"answers"}
        assert {told[OWNER], told[IN_BULK]} == {"yes"}
        assert told[OWNER_SHOWN] == "as Owner"
        assert told[NOTE_SHOWN].startswith("in ActivityEvent_Note")
        assert told[PROCESSED].startswith("shared: 6 “Request processed successfully.”")
        assert told[AGAIN].startswith("taken; then ShareStatus 6")
        assert [told[each].partition(":")[0] for each in (NO_LEAD, NO_USER, NO_REQUEST)] == ["refused"] * 3
        assert told[SEVERAL] == "yes, 2, with 1 Id"
        assert told[REVOKED].startswith("yes: ShareStatus 6")
        assert told[SPELLINGS].startswith("lead: ProspectID")
        assert {each.partition(":")[0] for each in told[SPELLINGS].split("; ")} == {
            "lead", "number", "user", "activity", "request",
        }  # fmt: skip
        assert (found.error, found.standing, it.live()) == (None, 0, 0)
        assert [each.follows for each in found.answers if each.follows] == []


@pytest.mark.parametrize(
    ("switch", "told"),
    [
        ({"ignore_owner": True}, {OWNER: "no: ", IN_BULK: "no: "}),
        ({"hide_owner": True}, {OWNER: "no: LeadSquared does not show", OWNER_SHOWN: "not at all"}),
        ({"owners": "both"}, {OWNER: "yes", OWNER_SHOWN: "as Owner"}),
        ({"hide_note": True}, {NOTE_SHOWN: "not at all", OWNER: "yes"}),
        ({"refuse_in": True}, {IN: "does not: Operator IN is not supported"}),
        ({"share_batch": 1}, {SEVERAL: "no: Between 1 and 1 entities"}),
        ({"fail": 1.0}, {PROCESSED: "failed: 5 “User does not have access"}),
        ({"one_request_id": True}, {NO_LEAD: "taken; then"}),
        ({"without": ("ByIds",)}, {GUIDS: "does not: HTTP 404", OWNER: "yes"}),
        ({"dialect": "lower"}, {OWNER_SHOWN: "as owner", SPELLINGS: "lead: prospectid"}),
    ],
)  # fmt: skip
async def test_each_switch_of_the_sandbox_turns_its_answer(
    tmp_path: Path, switch: dict[str, Any], told: dict[str, str]
) -> None:
    async with trial(tmp_path, **switch) as it:
        found = await verified(it)
        answers = seen(found)
        assert {question: answers[question][: len(words)] for question, words in told.items()} == told
        assert (found.standing, it.live()) == (0, 0)


async def test_an_account_without_look_ups_is_tried_with_what_is_named(tmp_path: Path) -> None:
    async with trial(tmp_path, without=("helpers",)) as it:
        lead, user = it.sandbox.world.leads[9], it.sandbox.world.users[2]
        settings = it.settings(event="201", wait=30.0, trust_owner=True, trust_ids=True)
        found = await Verification(settings, Onlooker(), f"{lead.id},{lead.number}", user.id).carry_out()
        answers = seen(found)
        assert answers[OWNER] == "not told: no read shows whose it is"
        assert answers[GUIDS].startswith("does not: ")
        assert answers[PROCESSED].startswith("shared: 6")
        assert answers[NO_LEAD].startswith("not tried: ")
        assert (found.standing, it.live()) == (0, 0)


async def test_a_kill_in_the_middle_leaves_what_the_same_command_revokes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trial(tmp_path) as it:
        with monkeypatch.context() as killed:

            async def nothing(*_: object) -> int:
                return 0

            async def kill(*_: object) -> None:
                raise Killed

            killed.setattr(Verification, "_revoke_all", nothing)
            killed.setattr(Verification, "_try_odd_shares", kill)
            with pytest.raises(Killed):
                await verified(it)
        assert it.live() == 1
        found = await verified(it)
        assert (found.standing, it.live()) == (0, 0)


@pytest.mark.parametrize("endpoint", [SHARE, STATUS, REVOKE])
async def test_whoever_stops_it_has_its_shares_revoked_at_once(tmp_path: Path, endpoint: str) -> None:
    """Also where it is stopped when a share was made, or a revocation, and its answer is still on the way."""
    held, stopped = asyncio.Event(), asyncio.Event()

    async def hold(step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        if call.endpoint == endpoint and not held.is_set():
            held.set()
            await stopped.wait()
        return reply

    async with trial(tmp_path, hold) as it:
        task = asyncio.create_task(verified(it))
        await held.wait()
        task.cancel()
        stopped.set()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        if endpoint == REVOKE:  # what cuts off the revoking itself is made good by the same command
            await verified(it)
        assert it.live() == 0


async def test_nobodys_data_is_in_the_file_that_may_be_sent(tmp_path: Path) -> None:
    async def plant(step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        value = json.loads(reply.body)
        if isinstance(value, dict):
            value |= {PLANTED: PLANTED, "Notes": PLANTED, "Error": f"Invalid {PLANTED}"}
        return Reply.json(value, reply.status)

    async with trial(tmp_path, plant, access_key=f"{PLANTED}-access-key-01") as it:
        found = await verified(it, access_key=f"{PLANTED}-access-key-01")
        assert found.file is not None
        text = found.file.read_text(encoding="utf-8")
        assert found.file.stat().st_mode & 0o777 == 0o600
        lead, user = it.sandbox.world.leads[9], it.sandbox.world.users[2]
        for planted in (lead.id, str(lead.number), lead.email, user.id, user.email, user.name, PLANTED):
            assert planted.lower() not in text.lower(), planted
        assert len(json.loads(text)["answers"]) == len(found.answers)


async def test_a_lead_or_user_that_is_not_there_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        lead, user = it.sandbox.world.leads[9], it.sandbox.world.users[2]
        for given in (("999999999", user.id), (lead.id, "nobody@example.com")):
            with pytest.raises(SettingsError, match="is found by '") as found:
                await Verification(it.settings(event="201"), Onlooker(), *given).carry_out()
            assert found.value.problem.startswith(("No lead is found by '", "No user is found by '"))
        assert not it.sent(CREATE)


async def test_of_a_server_that_is_not_leadsquared_the_host_is_said_to_be_wrong(tmp_path: Path) -> None:
    async def other(step: Step, call: SandboxCall) -> Reply:
        await step(call)
        return Reply(404, b"<h1>File not found</h1>")

    async with trial(tmp_path, other) as it:
        lead, user = it.sandbox.world.leads[9], it.sandbox.world.users[2]
        for named in (str(lead.number), lead.id, lead.email):
            with pytest.raises(BatchShareError, match="did not answer as LeadSquared does: HTTP 404"):
                await Verification(it.settings(event="201"), Onlooker(), named, user.id).carry_out()


async def test_what_an_account_lacks_is_not_asked_for_until_it_is_tried_again(tmp_path: Path) -> None:
    by_ids = "LeadManagement.svc/Leads/Retrieve/ByIds"
    async with trial(tmp_path, rows=3, without=("ByIds",)) as it:
        await verified(it)
        asked = len(it.sent(by_ids))
        assert asked
        assert (await it.run(force=True)).summary.states == {State.SHARED: 3}
        assert len(it.sent(by_ids)) == asked
        await verified(it)
        assert len(it.sent(by_ids)) > asked


async def test_what_is_the_keys_own_users_says_nothing_of_other_users(tmp_path: Path) -> None:
    async with trial(tmp_path, ignore_owner=True) as it:
        lead, own = it.sandbox.world.leads[9], it.sandbox.world.users[0]
        settings = it.settings(event="201", wait=30.0)
        answers = seen(await Verification(settings, Onlooker(), lead.id, own.id).carry_out())
        assert answers[OWNER] == "yes, and it would be the keys' own user's in any case: name another user"
