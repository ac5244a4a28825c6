"""The sandbox over HTTP: it answers and refuses as LeadSquared is documented, and seen, to do."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
import pytest
from asking import ManualClock
from trial import CREATE, KEY, SECRET, SHARE, STATUS, options

from batch_share.common import Rate
from batch_share.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trial import Step

    from batch_share.sandbox.wire import Reply, SandboxCall

HEADERS = {"x-LSQ-AccessKey": KEY, "x-LSQ-SecretKey": SECRET}
NO_KEYS: dict[str, str] = {}
Headers: TypeAlias = "dict[str, str] | None"


@dataclass
class Caller:
    """Calls a sandbox as a client does."""

    sandbox: Sandbox
    session: aiohttp.ClientSession
    clock: ManualClock

    async def call(
        self, path: str, body: object = None, *, headers: dict[str, str] | None = None, **query: str
    ) -> Any:
        """The status and the JSON of an answer."""
        url, keys = f"{self.sandbox.url}/v2/{path}", HEADERS if headers is None else headers
        method = "GET" if body is None else "POST"
        async with self.session.request(method, url, json=body, params=query, headers=keys) as answer:
            return answer.status, await answer.json(content_type=None) if answer.status != 404 else None

    async def post(self, lead: int = 0, owner: int = 1, **changes: Any) -> Any:
        """Post an activity on a lead of the world."""
        world = self.sandbox.world
        fields = [{"SchemaName": "Owner", "Value": world.users[owner].id}]
        body = {
            "RelatedProspectId": world.leads[lead].id,
            "ActivityEvent": 201,
            "ActivityNote": "n",
            "Fields": fields,
        }
        return await self.call(CREATE, body | changes)

    async def share(self, activity: str, lead: int = 0, user: int = 1, **changes: Any) -> Any:
        """Share a lead in the context of an activity."""
        world = self.sandbox.world
        item = {
            "UserId": world.users[user].id,
            "Entity": 1,
            "EntityType": 3,
            "EntityId": str(world.leads[lead].number),
            "ContextEntity": 1,
            "ContextEntityId": activity,
            "AccessType": 2,
            "DurationInMinutes": 30,
        }
        return await self.call(SHARE, [item | changes])


@asynccontextmanager
async def calling(**changes: Any) -> AsyncIterator[Caller]:
    """A caller of a sandbox whose clock stands still."""
    clock = ManualClock()
    async with Sandbox(options(**changes), clock) as sandbox, aiohttp.ClientSession() as session:
        yield Caller(sandbox, session, clock)


async def shared(caller: Caller) -> str:
    """Post and share; the request Id."""
    activity = (await caller.post())[1]["Message"]["Id"]
    return str((await caller.share(activity))[1]["Message"]["Id"])


async def test_a_lead_is_shared_once_its_request_is_processed() -> None:
    async with calling(processing=4.0) as caller:
        request = await shared(caller)
        assert len(request) == 32
        _, early = await caller.call(STATUS, id=request)
        assert (early["Status"], early["ErrorMessage"]) == ("Success", None)
        assert early["ShareStatus"] != 6
        assert caller.sandbox.report()["live_shares"]["count"] == 0
        caller.clock.advance(6.0)
        _, late = await caller.call(STATUS, id=request)
        assert (late["ShareStatus"], late["Message"]["ResponseText"]) == (6, "Request processed successfully.")
        assert caller.sandbox.report()["live_shares"]["count"] == 1
        caller.clock.advance(31 * 60)
        assert caller.sandbox.report()["live_shares"]["count"] == 0


async def test_a_request_may_fail_in_processing() -> None:
    async with calling(fail=1.0) as caller:
        _, status = await caller.call(STATUS, id=await shared(caller))
        assert status["ErrorMessage"]
        assert status["ShareStatus"] != 6
        assert caller.sandbox.report()["live_shares"]["count"] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"user": 2},
        {"lead": 1},
        {"EntityId": "a GUID"},
        {"UserId": "nobody"},
        {"AccessType": 3},
        {"Entity": 2},
        {"EntityType": 1},
        {"ContextEntityId": "nothing"},
        {"DurationInMinutes": 0},
    ],
)
async def test_a_share_that_does_not_fit_its_activity_is_refused(changes: dict[str, Any]) -> None:
    async with calling() as caller:
        activity = (await caller.post())[1]["Message"]["Id"]
        status, refused = await caller.share(activity, **changes)
        assert status == 500
        assert refused["Status"] == "Error"
        assert refused["ExceptionType"].startswith("MX")
        assert caller.sandbox.report()["live_shares"]["count"] == 0


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"RelatedProspectId": "nobody"}, 500),
        ({"RelatedProspectId": None}, 500),
        ({"ActivityEvent": 999}, 200),
        ({"ActivityNote": "<b>"}, 500),
        ({"ActivityNote": ["x"]}, 400),
        ({"Fields": [{"SchemaName": "Owner", "Value": "nobody"}]}, 500),
        ({"Fields": [{"SchemaName": "Colour", "Value": "red"}]}, 500),
        ({"Fields": "red"}, 400),
    ],
)
async def test_an_activity_that_makes_no_sense_is_refused(changes: dict[str, Any], status: int) -> None:
    async with calling() as caller:
        answered, refused = await caller.post(**changes)
        assert (answered, refused["Status"] in {"Error", "Failed"}) == (status, True)
        assert caller.sandbox.report()["activities"] == 0


async def test_posting_the_same_again_makes_another_activity() -> None:
    async with calling() as caller:
        first, second = [(await caller.post())[1]["Message"]["Id"] for _ in range(2)]
        assert first != second
        assert caller.sandbox.report()["duplicates"] == 1


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        (HEADERS, {}, 200),
        (NO_KEYS, {"accessKey": KEY, "secretKey": SECRET}, 200),
        (NO_KEYS, {}, 401),
        ({"x-LSQ-AccessKey": KEY, "x-LSQ-SecretKey": "wrong"}, {}, 401),
        (NO_KEYS, {"accessKey": KEY}, 401),
    ],
)
async def test_keys_come_in_headers_or_in_the_query(
    headers: dict[str, str], query: dict[str, str], status: int
) -> None:
    async with calling() as caller:
        answered, _ = await caller.call("UserManagement.svc/Users.Get", headers=headers, **query)
        assert answered == status
        assert SECRET not in str(caller.sandbox.journal.since(0))


async def test_an_unknown_path_is_404() -> None:
    async with calling() as caller:
        assert (await caller.call("Nothing.svc/Here"))[0] == 404


@pytest.mark.parametrize("form", [429, 403, 200])
async def test_the_call_too_many_is_refused_in_the_form_that_was_chosen(form: int) -> None:
    async with calling(rate=Rate(3, 5.0), reject_as=form, retry_after=2.0) as caller:
        assert [(await caller.post(lead))[0] for lead in range(3)] == [200] * 3
        status, refused = await caller.post(3)
        assert status == form
        assert refused["ExceptionType"] == "MXAPIRateLimitExceededException"
        assert refused["ExceptionMessage"] == "API calls exceeded the limit of 3 in 5 second(s)"
        caller.clock.advance(5.0)
        assert (await caller.post(3))[0] == 200
        report = caller.sandbox.report()
        assert (report["refusals"], report["fullest_window"], report["activities"]) == (1, 3, 4)


async def test_a_fixed_window_admits_twice_as_many_around_its_tick() -> None:
    async with calling(rate=Rate(3, 5.0), fixed_window=True) as caller:
        caller.clock.advance(4.9)
        for lead in range(3):
            await caller.post(lead)
        caller.clock.advance(0.2)
        assert [(await caller.post(lead))[0] for lead in range(3, 6)] == [200] * 3
        assert caller.sandbox.report()["fullest_window"] == 6


async def test_reads_lag_behind_writes() -> None:
    async with calling(read_lag=2.0) as caller:
        await caller.post()
        path, lead = "ProspectActivity.svc/Retrieve", caller.sandbox.world.leads[0].id
        assert (await caller.call(path, {"Parameter": {}}, leadId=lead))[1]["RecordCount"] == 0
        caller.clock.advance(2.0)
        assert (await caller.call(path, {"Parameter": {}}, leadId=lead))[1]["RecordCount"] == 1


async def test_an_api_can_be_refused_whole() -> None:
    async with calling(refuse=("Users.Get",)) as caller:
        status, refused = await caller.call("UserManagement.svc/Users.Get")
        assert (status, refused["Status"]) == (500, "Error")


@pytest.mark.parametrize("body", [b"{", b"[1]", b'"x"', b"[" * 5000, b"\xff\xfe"])
@pytest.mark.parametrize("endpoint", [CREATE, SHARE])
async def test_a_malformed_body_is_a_400_with_an_envelope(endpoint: str, body: bytes) -> None:
    async with calling() as caller:
        url = f"{caller.sandbox.url}/v2/{endpoint}"
        async with caller.session.post(url, data=body, headers=HEADERS) as answer:
            assert answer.status == 400
            assert (await answer.json())["Status"] == "Error"


@pytest.mark.parametrize("drip", [0.0, 0.01])
@pytest.mark.parametrize(
    ("dialect", "types", "mark"),
    [("plain", ["application/json"], b""), ("typeless", [], b""), ("bom", ["application/json"], b"\xef\xbb\xbf")],
)
async def test_an_answer_may_name_no_type_or_begin_with_a_mark(
    dialect: str, types: list[str], mark: bytes, drip: float
) -> None:
    async def slowly(step: Step, call: SandboxCall) -> Reply:
        return replace(await step(call), drip=drip)

    async with (
        Sandbox(options(dialect=dialect, users=1), wrappers=[slowly]) as sandbox,
        aiohttp.ClientSession() as session,
        session.get(f"{sandbox.url}/v2/UserManagement.svc/Users.Get", headers=HEADERS) as answer,
    ):
        assert answer.headers.getall("Content-Type", []) == types
        assert (await answer.read()).startswith(mark + b'[{"ID"')


async def test_an_api_may_be_missing() -> None:
    async with calling(without=("Users.Get",)) as caller:
        assert (await caller.call("UserManagement.svc/Users.Get"))[0] == 404
        assert (await caller.post())[0] == 200
        assert caller.sandbox.report()["outcomes"] == {"unknown path": 1, "done": 1}


async def test_the_report_tells_what_it_saw() -> None:
    async with calling() as caller:
        await shared(caller)
        report = caller.sandbox.report()
        world = caller.sandbox.world
        assert report["total_calls"] == 2
        assert report["calls"] == {CREATE: 1, SHARE: 1}
        assert report["outcomes"] == {"done": 2}
        assert report["activities_per_lead_and_user"] == {f"{world.leads[0].id}|{world.users[1].id}": 1}
        (share,) = report["live_shares"]["shares"]
        assert (share["lead"], share["user"], share["access"]) == ("869000", world.users[1].id, 2)
        async with caller.session.get(f"{caller.sandbox.url}/sandbox/report") as answer:
            assert (await answer.json())["activities"] == 1


async def test_connections_that_nobody_uses_are_closed_when_nobody_is_to_get_one() -> None:
    """One that stayed open would swallow the next call on it, as if the host were silent."""

    async def leaves(step: Step, call: SandboxCall) -> Reply:
        return replace(await step(call), away=60.0) if call.method == "POST" else await step(call)

    async with Sandbox(options(), wrappers=[leaves]) as sandbox, aiohttp.ClientSession() as session:
        reader, writer = await asyncio.open_connection(*sandbox.url.removeprefix("http://").split(":"))
        writer.write(b"GET /v2/Nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"close" not in await reader.readuntil(b"\r\n\r\n")
        caller = Caller(sandbox, session, ManualClock())
        async with asyncio.timeout(30):
            assert (await caller.post())[0] == 200
            await reader.read()  # which ends with the connection
        writer.close()
        await writer.wait_closed()


async def test_all_keys_of_the_account_are_one_account_with_one_limit() -> None:
    async with calling(other_access_keys=("second",), rate=Rate(2, 5)) as it:
        second = HEADERS | {"x-LSQ-AccessKey": "second"}
        path = "Authentication.svc/UserByAccessKey.Get"
        answers = [await it.call(path, headers=keys) for keys in (HEADERS, second, second, HEADERS)]
        assert [status for status, _ in answers] == [200, 200, 429, 429]
        assert answers[0][1]["OrgId"] == answers[1][1]["OrgId"] != ""
