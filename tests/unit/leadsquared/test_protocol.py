"""The wire without the network: every request as documented, and what every kind of answer means."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_share.common import Rate
from batch_share.leadsquared.guesses import ACTIVITY_ID_KEYS, LONGEST_CLOSED
from batch_share.leadsquared.protocol import (
    Activities,
    Answer,
    Denied,
    Done,
    Failure,
    Judged,
    Lost,
    Outcome,
    Owner,
    Refused,
    ShareItem,
    ShareStatus,
    Throttled,
    activities_of_lead,
    activities_of_type,
    clean,
    judge,
    post_activity,
    read_activities,
    read_activity_id,
    read_json,
    read_request_id,
    read_status,
    revoke_share,
    share_leads,
    share_status,
)

LEAD: Final = "0a1b2c3d-0000-4000-8000-00000000aaaa"
USER: Final = "0a1b2c3d-0000-4000-8000-00000000bbbb"
ACTIVITY: Final = "0a1b2c3d-0000-4000-8000-00000000cccc"
REQUEST: Final = "98fe2984209c413c9b6b06a1b68111ff"
TOO_MANY: Final = "API calls exceeded the limit of 20 in 5 second(s)"
DAILY: Final = "API calls exceeded the limit of 10000 in 86400 second(s)"
FOR_EVER: Final = "API calls exceeded the limit of 1 in 999999999999 second(s)"
THROTTLE: Final = {
    "Status": "Error",
    "ExceptionType": "MXAPIRateLimitExceededException",
    "ExceptionMessage": TOO_MANY,
}
MISSING: Final = {
    "Status": "Error",
    "ExceptionType": "MXMandatoryAttributeMissingException",
    "ExceptionMessage": "RelatedProspectId is missing",
}
UNTYPED: Final = {"Status": "Error", "ExceptionMessage": "Something went wrong"}
PAGE: Final = b"<html><body>\n<h1>Bad gateway</h1></body></html>"
UNCLEAR: Final = "the answer was not understood"
BOTH: Final = "the answer is a failure, but holds an Id"
ZERO: Final = "00000000-0000-0000-0000-000000000000"


def answer(status: int, body: Any = b"", **headers: str) -> Answer:
    """An answer; a body that is not bytes is sent as JSON."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, sent)


def success(**fields: Any) -> dict[str, Any]:
    """A success's envelope, some of it changed."""
    return {"Status": "Success", "Message": {"Id": ACTIVITY}} | fields


# ------------------------------------------------------------------------------------------------- requests


def sent(body: bytes | None) -> Any:
    """The JSON of a request's body."""
    assert body is not None
    return json.loads(body)


def test_an_activity_is_posted_as_documented_with_its_owner() -> None:
    call = post_activity(lead_id=LEAD, event=201, note="Grüße „हिन्दी“", owner_id=USER)
    assert (call.method, call.path, call.query) == ("POST", "ProspectActivity.svc/Create", {})
    assert sent(call.body) == {
        "RelatedProspectId": LEAD,
        "ActivityEvent": 201,
        "ActivityNote": "Grüße „हिन्दी“",
        "Fields": [{"SchemaName": "Owner", "Value": USER}],
    }


def test_half_a_character_is_posted_as_json_writes_it() -> None:
    body = post_activity(lead_id=LEAD, event=201, note="a\ud800é", owner_id=USER).body
    assert sent(body)["ActivityNote"] == "a\ud800é"
    assert "é".encode() in (body or b"")


def test_custom_fields_are_posted_beside_the_owner() -> None:
    custom = {"mx_Custom_1": "a", "mx_Custom_12": "“b”"}
    call = post_activity(lead_id=LEAD, event=201, note="", owner_id=USER, custom=custom)
    assert sent(call.body)["Fields"] == [
        {"SchemaName": name, "Value": value} for name, value in ({"Owner": USER} | custom).items()
    ]


def test_no_custom_field_takes_the_owners_place() -> None:
    call = post_activity(lead_id=LEAD, event=201, note="", owner_id=USER, custom={"Owner": "another"})
    assert sent(call.body)["Fields"] == [{"SchemaName": "Owner", "Value": USER}]


def test_a_lead_is_shared_as_documented_in_an_array_of_one() -> None:
    item = ShareItem(
        user_id=USER, entity_id="869196", context_entity_id=ACTIVITY, access_type=2, duration_in_minutes=30
    )
    call = share_leads(item)
    assert (call.method, call.path, call.query) == ("POST", "EntityAccess.svc/Share", {})
    assert sent(call.body) == [
        {
            "UserId": USER,
            "Entity": 1,
            "EntityType": 3,
            "EntityId": "869196",
            "ContextEntity": 1,
            "ContextEntityId": ACTIVITY,
            "AccessType": 2,
            "DurationInMinutes": 30,
        }
    ]


def test_a_share_is_revoked_as_it_was_made_but_for_its_duration() -> None:
    item = ShareItem(user_id=USER, entity_id="869196", context_entity_id=ACTIVITY, access_type=1)
    call = revoke_share(item)
    assert (call.method, call.path, call.query) == ("POST", "EntityAccess.svc/Revoke", {})
    [body] = sent(call.body)
    assert body == sent(share_leads(item).body)[0]
    assert body["EntityId"] == "869196"
    assert "DurationInMinutes" not in body


def test_a_requests_status_is_asked_with_its_id_in_the_query() -> None:
    call = share_status(REQUEST)
    assert (call.method, call.path, call.body) == ("GET", "EntityAccess.svc/Status/Get", None)
    assert call.query == {"id": REQUEST}


def test_a_leads_activities_are_asked_for_by_lead_and_event() -> None:
    call = activities_of_lead(LEAD, 201)
    assert (call.method, call.path, call.query) == ("POST", "ProspectActivity.svc/Retrieve", {"leadId": LEAD})
    assert sent(call.body) == {"Parameter": {"ActivityEvent": 201}, "Paging": {"Offset": "0", "RowCount": "100"}}


def test_another_page_of_a_leads_activities_is_asked_for_by_its_number() -> None:
    assert sent(activities_of_lead(LEAD, 201, 3).body)["Paging"] == {"Offset": "3", "RowCount": "100"}


def test_an_accounts_activities_are_asked_for_by_event_and_time_in_a_steady_order() -> None:
    since, until = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 11, 12, 13, 14, 15, tzinfo=UTC)
    call = activities_of_type(201, since, until)
    path = "ProspectActivity.svc/CustomActivity/RetrieveByActivityEvent"
    assert (call.method, call.path, call.query) == ("POST", path, {})
    assert sent(call.body) == {
        "Parameter": {
            "FromDate": "2026-01-02 03:04:05",
            "ToDate": "2026-11-12 13:14:15",
            "ActivityEvent": 201,
        },
        "Paging": {"PageIndex": 1, "PageSize": 1000},
        "Sorting": {"ColumnName": "ProspectActivityId", "Direction": 1},
    }
    assert sent(activities_of_type(201, since, until, 1).body)["Paging"] == {"PageIndex": 2, "PageSize": 1000}


# ------------------------------------------------------------------------------------------------ the table

_RATE: Final = Rate(20, 5.0)
_DAY: Final = "Wed, 21 Oct 2026"
TABLE: Final[dict[str, tuple[Answer, Outcome]]] = {
    # Throttles, in every form, before any other rule.
    "429, its message": (
        answer(429, UNTYPED | {"ExceptionMessage": TOO_MANY}),
        Throttled(TOO_MANY, None, _RATE, 429),
    ),
    "429, empty": (answer(429), Throttled("HTTP 429 with an empty body", None, None, 429)),
    "429, Retry-After": (answer(429, THROTTLE, retry_after="7"), Throttled(TOO_MANY, 7.0, _RATE, 429)),
    "429, Retry-After in parts": (answer(429, THROTTLE, retry_after=" 0.5 "), Throttled(TOO_MANY, 0.5, _RATE, 429)),
    "429, Retry-After a date": (
        answer(429, THROTTLE, retry_after=f"{_DAY} 07:28:00 GMT", date=f"{_DAY} 07:23:00 GMT"),
        Throttled(TOO_MANY, 300.0, _RATE, 429),
    ),
    "429, Retry-After a later date": (
        answer(429, THROTTLE, retry_after=f"{_DAY} 07:28:00 -0000", date=f"{_DAY} 07:22:59 GMT"),
        Throttled(TOO_MANY, None, _RATE, 429, 301.0),
    ),
    "429, Retry-After a date that is over": (
        answer(429, THROTTLE, retry_after=f"{_DAY} 07:28:00 GMT", date=f"{_DAY} 07:28:00 GMT"),
        Throttled(TOO_MANY, None, _RATE, 429),
    ),
    "429, Retry-After no date": (
        answer(429, THROTTLE, retry_after="Wed, 41 Oct 2026 07:28:00 GMT"),
        Throttled(TOO_MANY, None, _RATE, 429),
    ),
    "429, Retry-After five minutes": (
        answer(429, THROTTLE, retry_after="300"),
        Throttled(TOO_MANY, 300.0, _RATE, 429),
    ),
    "429, Retry-After above five minutes": (
        answer(429, THROTTLE, retry_after="300.5"),
        Throttled(TOO_MANY, None, _RATE, 429, 300.5),
    ),
    "429, Retry-After negative": (answer(429, THROTTLE, retry_after="-3"), Throttled(TOO_MANY, None, _RATE, 429)),
    "429, Retry-After absurd": (
        answer(429, THROTTLE, retry_after="9" * 9),
        Throttled(TOO_MANY, None, _RATE, 429, LONGEST_CLOSED),
    ),
    "429, Retry-After too long to read": (
        answer(429, THROTTLE, retry_after="9" * 400),
        Throttled(TOO_MANY, None, _RATE, 429),
    ),
    "429, no limit told": (answer(429, {"Message": "Slow down"}), Throttled("Slow down", None, None, 429)),
    "429, a limit of nothing told": (
        answer(429, {"Message": "limit of 0 in 5 second(s)"}),
        Throttled("limit of 0 in 5 second(s)", None, None, 429),
    ),
    "429, a limit in no time told": (
        answer(429, {"Message": "limit of 5 in 0 second(s)"}),
        Throttled("limit of 5 in 0 second(s)", None, None, 429),
    ),
    "403, a throttle's type": (answer(403, THROTTLE), Throttled(TOO_MANY, None, _RATE, 403)),
    "403, a throttle's words": (
        answer(403, {"Message": TOO_MANY.upper()}),
        Throttled(TOO_MANY.upper(), None, _RATE, 403),
    ),
    "403, a throttle's words as plain text": (
        answer(403, TOO_MANY.encode()),
        Throttled(f"HTTP 403: {TOO_MANY}", None, _RATE, 403),
    ),
    "429, the words of an allowance": (
        answer(429, {"Message": DAILY}),
        Throttled(DAILY, None, None, 429, 86_400.0),
    ),
    "200, the words of an allowance, and a Retry-After": (
        answer(200, THROTTLE | {"ExceptionMessage": DAILY}, retry_after="7"),
        Throttled(DAILY, None, None, 200, 7.0),
    ),
    "403, the words of an allowance without end": (
        answer(403, {"Message": FOR_EVER}),
        Throttled(FOR_EVER, None, None, 403, LONGEST_CLOSED),
    ),
    "429, more calls than any account has": (
        answer(429, {"Message": "limit of 1001 in 5 second(s)"}),
        Throttled("limit of 1001 in 5 second(s)", None, None, 429),
    ),
    "429, the highest limit that is believed": (
        answer(429, {"Message": "limit of 1000 in 60 second(s)"}),
        Throttled("limit of 1000 in 60 second(s)", None, Rate(1000, 60.0), 429),
    ),
    "400, a throttle's words": (answer(400, {"Message": TOO_MANY}), Refused(TOO_MANY, "", 400)),
    "404, a throttle's words": (answer(404, {"Message": TOO_MANY}), Refused(TOO_MANY, "", 404)),
    "401, a throttle's words": (answer(401, {"Message": TOO_MANY}), Denied(TOO_MANY, 401)),
    "403, a throttle's words quoted": (answer(403, {"Message": f"No: {TOO_MANY}"}), Denied(f"No: {TOO_MANY}", 403)),
    "200, a throttle's words quoted in an error": (
        answer(200, UNTYPED | {"ExceptionMessage": f"No: {TOO_MANY}"}),
        Lost(f"No: {TOO_MANY}", 200),
    ),
    "200, a note of a throttle's words refused": (
        answer(200, MISSING | {"ExceptionMessage": f"{DAILY} is no note"}),
        Refused(f"{DAILY} is no note", MISSING["ExceptionType"], 200),
    ),
    "500, a note refused that quotes an allowance": (
        answer(500, MISSING | {"ExceptionMessage": f"Invalid note '{DAILY}'"}),
        Refused(f"Invalid note '{DAILY}'", MISSING["ExceptionType"], 500),
    ),
    "500, Failed with a throttle's words": (
        answer(500, {"Status": "Failed", "Message": TOO_MANY}),
        Refused(TOO_MANY, "", 500),
    ),
    "200, a throttle's words in an error without a type": (
        answer(200, UNTYPED | {"ExceptionMessage": TOO_MANY}),
        Throttled(TOO_MANY, None, _RATE, 200),
    ),
    "200, a throttle's envelope": (answer(200, THROTTLE), Throttled(TOO_MANY, None, _RATE, 200)),
    "200, a throttle's type only": (
        answer(200, {"Status": "Error", "ExceptionType": "MXAPIRateLimitExceededException"}),
        Throttled("MXAPIRateLimitExceededException", None, None, 200),
    ),
    "200, a throttle's words in a failure": (
        answer(200, {"Status": "Failed", "Message": {"Message": TOO_MANY}}),
        Throttled(TOO_MANY, None, _RATE, 200),
    ),
    "500, a throttle's envelope": (answer(500, THROTTLE), Throttled(TOO_MANY, None, _RATE, 500)),
    # Keys.
    "401": (
        answer(401, {"Status": "Error", "ExceptionType": "MXInvalidAccessDetailsException"}),
        Denied("MXInvalidAccessDetailsException", 401),
    ),
    "401, empty": (answer(401), Denied("HTTP 401 with an empty body", 401)),
    "401, HTML": (answer(401, PAGE), Denied("HTTP 401: Bad gateway", 401)),
    "403, HTML": (answer(403, PAGE), Denied("HTTP 403: Bad gateway", 403, is_page=True)),
    "403, empty": (answer(403), Denied("HTTP 403 with an empty body", 403)),
    "403, no throttle": (answer(403, UNTYPED), Denied("Something went wrong", 403)),
    "403, an MX type": (answer(403, MISSING), Denied("RelatedProspectId is missing", 403)),
    # Definite refusals.
    "400, its type": (answer(400, MISSING), Refused("RelatedProspectId is missing", MISSING["ExceptionType"], 400)),
    "400, empty": (answer(400), Refused("HTTP 400 with an empty body", "", 400, is_page=True)),
    "404": (answer(404, PAGE), Refused("HTTP 404: Bad gateway", "", 404, is_page=True)),
    "200, the error envelope": (
        answer(200, MISSING),
        Refused("RelatedProspectId is missing", MISSING["ExceptionType"], 200),
    ),
    "200, Failed": (
        answer(200, {"Status": "Failed", "Message": {"Message": "Invalid event code"}}),
        Refused("Invalid event code", "", 200),
    ),
    "200, Failed, though an Id is there": (
        answer(200, {"Status": "Failed", "Message": {"Id": ACTIVITY}}),
        Lost(f'{BOTH}: HTTP 200: {{"Status": "Failed", "Message": {{"Id": "{ACTIVITY}"}}}}', 200),
    ),
    "500, an MX type": (
        answer(500, MISSING),
        Refused("RelatedProspectId is missing", MISSING["ExceptionType"], 500),
    ),
    "500, Failed": (answer(500, {"Status": "Failed", "Message": "No"}), Refused("No", "", 500)),
    # Done.
    "200": (answer(200, success()), Done(ACTIVITY)),
    "200, spaces around the Id": (answer(200, success(Message={"Id": f" {ACTIVITY} "})), Done(ACTIVITY)),
    "200, a request's Id": (answer(200, success(Message={"Id": REQUEST})), Done(REQUEST)),
    "201": (answer(201, success()), Done(ACTIVITY)),
    "200, with a byte order mark": (answer(200, b"\xef\xbb\xbf" + json.dumps(success()).encode()), Done(ACTIVITY)),
    "200, more than we know": (
        answer(200, success(Extra=[1], Message={"Id": ACTIVITY, "More": {}})),
        Done(ACTIVITY),
    ),
    "200, a note that quotes a limit": (
        answer(200, success(Message={"Id": ACTIVITY, "Message": "limit of 25 in 5 second"}, Note=TOO_MANY)),
        Done(ACTIVITY),
    ),
    # Nobody knows.
    "200, an error without a type": (answer(200, UNTYPED), Lost("Something went wrong", 200)),
    "200, an error of a foreign type": (
        answer(200, UNTYPED | {"ExceptionType": "NullReferenceException"}),
        Lost("Something went wrong", 200),
    ),
    "200, no Id": (answer(200, success(Message={})), Lost("the answer has no Id", 200)),
    "200, an Id of null": (answer(200, success(Message={"Id": None})), Lost("the answer has no Id", 200)),
    "200, an empty Id": (answer(200, success(Message={"Id": " "})), Lost("the answer has no Id", 200)),
    "200, a zero GUID": (answer(200, success(Message={"Id": ZERO})), Lost("the answer has no Id", 200)),
    "200, zeros": (answer(200, success(Message={"Id": "0" * 32})), Lost("the answer has no Id", 200)),
    "200, a long Id": (answer(200, success(Message={"Id": "a" * 100})), Done("a" * 100)),
    "200, an endless Id": (answer(200, success(Message={"Id": "a" * 101})), Lost("the answer has no Id", 200)),
    "200, a numeric Id": (answer(200, success(Message={"Id": 7})), Done("7")),
    "200, an Id of true": (answer(200, success(Message={"Id": True})), Lost("the answer has no Id", 200)),
    "200, an Id in other cases": (answer(200, {"status": "SUCCESS", "MESSAGE": {"ID": ACTIVITY}}), Done(ACTIVITY)),
    "200, a request's Id for an activity's": (
        answer(200, success(Message={"RequestID": ACTIVITY}, RequestId=ACTIVITY)),
        Lost("the answer has no Id", 200),
    ),
    "200, a message of one": (answer(200, success(Message=[{"Id": ACTIVITY}])), Done(ACTIVITY)),
    "200, an Id beside the message": (answer(200, success(Message="Done", Id=ACTIVITY)), Done(ACTIVITY)),
    "200, a byte order mark": (
        answer(200, b"\xef\xbb\xbf" + json.dumps(success(Message={"Id": ACTIVITY})).encode()),
        Done(ACTIVITY),
    ),
    "500, an MX type, though an Id is there": (
        answer(500, MISSING | {"Message": {"Id": ACTIVITY}}),
        Lost(f"{BOTH}: RelatedProspectId is missing", 500),
    ),
    "500, an MX type, though an Id is somewhere in it": (
        answer(500, MISSING | {"Result": {"Made": [{"ProspectActivityId": ACTIVITY}]}}),
        Lost(f"{BOTH}: RelatedProspectId is missing", 500),
    ),
    "200, the error envelope, though Ids are listed": (
        answer(200, MISSING | {"Message": [{"Id": ACTIVITY}, {"Id": REQUEST}]}),
        Lost(f"{BOTH}: RelatedProspectId is missing", 200),
    ),
    "500, an MX type, with the Id of a lead and of no activity": (
        answer(500, MISSING | {"Data": [{"RelatedProspectId": ACTIVITY, "Id": " "}, None, 7]}),
        Refused("RelatedProspectId is missing", MISSING["ExceptionType"], 500),
    ),
    "404, though an Id is there": (
        answer(404, {"Message": {"Id": ACTIVITY}}),
        Lost(f'{BOTH}: HTTP 404: {{"Message": {{"Id": "{ACTIVITY}"}}}}', 404),
    ),
    "200, an Id that is no text": (
        answer(200, b'{"Status":"Success","Message":{"Id":"\\ud800"}}'),
        Lost("the answer has no Id", 200),
    ),
    "200, no Status": (answer(200, {"Message": {"Id": ACTIVITY}}), Lost("the answer was not understood", 200)),
    "200, another Status": (answer(200, success(Status="success?")), Lost("the answer was not understood", 200)),
    "200, a Status of true": (answer(200, success(Status=True)), Lost("the answer was not understood", 200)),
    "200, a list of one answer": (answer(200, [success(Message={"Id": ACTIVITY})]), Done(ACTIVITY)),
    "200, a list of one refusal": (
        answer(200, [MISSING]),
        Refused("RelatedProspectId is missing", MISSING["ExceptionType"], 200),
    ),
    "200, a list of two answers": (
        answer(200, [success(Message={"Id": ACTIVITY}), success(Message={"Id": REQUEST})]),
        Lost("the answer was not understood", 200),
    ),
    "200, a list of one that is no answer": (
        answer(200, [{"Status": "Failed", "Id": ACTIVITY}]),
        Lost("the answer was not understood", 200),
    ),
    "200, a list of one lead with such columns": (
        answer(200, [{"ProspectID": ACTIVITY, "Status": "Failed", "Message": "called"}]),
        Lost("the answer was not understood", 200),
    ),
    "200, a list of one without an Id": (answer(200, [success(Message={})]), Lost("the answer has no Id", 200)),
    "200, a number": (answer(200, 7), Lost("the answer was not understood", 200)),
    "200, null": (answer(200, None), Lost("the answer was not understood", 200)),
    "200, empty": (answer(200, b" \n"), Lost(f"{UNCLEAR}: HTTP 200 with an empty body", 200)),
    "200, bad JSON": (answer(200, b'{"Status":"Success"'), Lost(f'{UNCLEAR}: HTTP 200: {{"Status":"Success"', 200)),
    "200, HTML": (answer(200, PAGE), Lost(f"{UNCLEAR}: HTTP 200: Bad gateway", 200)),
    "200, HTML that quotes a limit": (
        answer(200, TOO_MANY.encode()),
        Lost(f"{UNCLEAR}: HTTP 200: {TOO_MANY}", 200),
    ),
    "204": (answer(204), Lost(f"{UNCLEAR}: HTTP 204 with an empty body", 204)),
    "300, with a success": (answer(300, success()), Lost(f"HTTP 300: {json.dumps(success())}", 300)),
    "300, Failed": (answer(300, {"Status": "Failed", "Message": "No"}), Lost("No", 300)),
    "302": (answer(302), Lost("HTTP 302 with an empty body", 302)),
    "302, to another host": (
        answer(302, location="https://elsewhere.example/v2/Login?key=1"),
        Lost("HTTP 302: the host to set may be https://elsewhere.example", 302),
    ),
    "302, within the host": (answer(302, location="/login"), Lost("HTTP 302 with an empty body", 302)),
    "302, to nonsense": (answer(302, location="http://[::1"), Lost("HTTP 302 with an empty body", 302)),
    "302, with a success": (answer(302, success()), Lost(f"HTTP 302: {json.dumps(success())}", 302)),
    "500, no type": (answer(500, UNTYPED), Lost("Something went wrong", 500)),
    "500, HTML": (answer(500, PAGE), Lost("HTTP 500: Bad gateway", 500)),
    "500, a page that quotes a limit": (answer(500, TOO_MANY.encode()), Lost(f"HTTP 500: {TOO_MANY}", 500)),
    "500, a foreign type": (
        answer(500, {"Status": "Error", "ExceptionType": "SqlException"}),
        Lost("SqlException", 500),
    ),
    "502": (answer(502, PAGE), Lost("HTTP 502: Bad gateway", 502)),
    "503": (answer(503), Lost("HTTP 503 with an empty body", 503)),
    "503, an MX type": (answer(503, MISSING), Lost("RelatedProspectId is missing", 503)),
    "504": (answer(504, UNTYPED), Lost("Something went wrong", 504)),
    "418": (answer(418), Lost("HTTP 418 with an empty body", 418)),
}


@pytest.mark.parametrize(("given_answer", "meaning"), TABLE.values(), ids=TABLE.keys())
def test_what_an_answer_means(given_answer: Answer, meaning: Outcome) -> None:
    assert read_activity_id(given_answer) == meaning


def test_a_request_has_its_id_under_either_name() -> None:
    for message in ({"Id": ACTIVITY}, {"RequestID": ACTIVITY}, {"ID": "", "requestid": ACTIVITY}):
        assert read_request_id(answer(200, success(Message=message))) == Done(ACTIVITY)


@pytest.mark.parametrize("bare", [REQUEST, ACTIVITY, f"{{{ACTIVITY}}}", f" {REQUEST} "])
def test_a_request_is_known_by_an_id_that_is_all_of_the_message(bare: str) -> None:
    assert read_request_id(answer(200, success(Message=bare))) == Done(bare.strip(" {}"))
    assert read_request_id(answer(200, success(Message=[bare]))) == Done(bare.strip(" {}"))
    # An activity's Id would be posted under: there it may as well be the lead's.
    assert isinstance(read_activity_id(answer(200, success(Message=bare))), Lost)
    failed = answer(200, {"Status": "Failed", "Message": bare})
    assert isinstance(read_request_id(failed), Lost), "a failure with an Id is a contradiction"


@pytest.mark.parametrize(
    "message", ["Done", f"Request {REQUEST}", "0" * 32, REQUEST[:-1], f"{ACTIVITY} was shared"]
)
def test_any_other_message_is_no_id_of_a_request(message: str) -> None:
    assert isinstance(read_request_id(answer(200, success(Message=message))), Lost)


def test_a_list_of_one_answers_one_share_and_not_several() -> None:
    alone = answer(200, [success(Message={"Id": ACTIVITY})])
    assert read_request_id(alone) == Done(ACTIVITY)
    assert read_request_id(alone, of=10) == Lost("the answer was not understood", 200)
    assert read_request_id(answer(200, success(Message={"Id": ACTIVITY})), of=10) == Done(ACTIVITY)


NO_SUCCESS: Final = {name: row for name, row in TABLE.items() if isinstance(row[1], Throttled | Denied | Refused)}


@pytest.mark.parametrize(("given_answer", "meaning"), NO_SUCCESS.values(), ids=NO_SUCCESS.keys())
def test_a_refusal_means_the_same_whatever_was_asked(given_answer: Answer, meaning: Outcome) -> None:
    assert judge(given_answer) == read_status(given_answer) == read_activities(given_answer) == meaning


ODD: Final = [None, True, 0, -1, 1.5, 10**400, "", "text", [], [1], {}, {"Id": [1]}, {"Message": [1]}]


@pytest.mark.parametrize("field", ["Status", "Message", "ExceptionType", "ExceptionMessage"])
@pytest.mark.parametrize("value", ODD, ids=[repr(value)[:20] for value in ODD])
def test_a_field_of_an_odd_type_is_never_a_crash_and_never_a_success(field: str, value: Any) -> None:
    envelope = success(Message={}, ExceptionType="", ExceptionMessage="") | {field: value}
    for status in (200, 401, 403, 404, 429, 500):
        assert isinstance(read_activity_id(answer(status, envelope)), Failure)


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 200_000, b'{"Id":' + b"9" * 5_000 + b"}"])
def test_json_that_python_can_not_hold_is_an_answer_nobody_understands(body: bytes) -> None:
    assert isinstance(read_activity_id(answer(200, body)), Lost)
    assert isinstance(read_activity_id(answer(400, body)), Refused)


# --------------------------------------------------------------------------------------------- words


def test_what_is_wrapped_without_end_is_an_answer_nobody_understands() -> None:
    body = b'{"x":' * 600 + b"[]" + b"}" * 600
    assert read_activities(answer(200, body)) == Lost("the answer was not understood", 200)


def test_words_are_kept_on_one_line_and_within_bounds() -> None:
    assert clean("a\r\n\tb\x1b[31m\u202e c\x00") == "a b [31m c"
    assert len(clean("x" * 5000)) == 500


def test_a_page_is_reported_by_its_text_not_its_tags() -> None:
    page = b"<html><title>Oops</title>" + b"<br/>" * 10 + b"\xff sorry" + b"x" * 5000
    outcome = read_activity_id(answer(502, page))
    assert isinstance(outcome, Lost)
    assert outcome.words.startswith("HTTP 502: Oops � sorryxxx")
    assert len(outcome.words) == len("HTTP 502: ") + 200


def test_of_a_page_no_more_than_its_beginning_is_read() -> None:
    page = b"<style>" + b" " * 3992
    assert read_activity_id(answer(502, page + b"yes")) == Lost("HTTP 502: y", 502)


# ---------------------------------------------------------------------------------------- the status API


def status_answer(**fields: Any) -> Answer:
    """The status API's documented answer, some of it changed."""
    reported = {
        "Message": {"ResponseText": "Request processed successfully."},
        "ShareStatus": 6,
        "ErrorMessage": None,
    }
    return answer(200, {"Status": "Success"} | reported | fields)


@pytest.mark.parametrize(
    ("fields", "verdict", "number", "words"),
    [
        ({}, "processed", 6, "Request processed successfully."),
        ({"ErrorMessage": " \n"}, "processed", 6, "Request processed successfully."),
        ({"ErrorMessage": " N/A "}, "processed", 6, "Request processed successfully."),
        ({"ErrorMessage": "Success"}, "processed", 6, "Request processed successfully."),
        ({"ErrorMessage": "None"}, "processed", 6, "Request processed successfully."),
        ({"ErrorMessage": "User is\ninactive"}, "failed", 6, "User is inactive"),
        ({"ErrorMessage": "No such lead", "ShareStatus": None}, "failed", None, "No such lead"),
        ({"ShareStatus": 1, "Message": {"ResponseText": "In queue"}}, "pending", 1, "In queue"),
        ({"ShareStatus": None}, "pending", None, "Request processed successfully."),
        ({"ShareStatus": -999}, "pending", -999, "Request processed successfully."),
        ({"ShareStatus": 3, "Message": {}}, "pending", 3, ""),
        ({"ShareStatus": "6", "Message": "Request processed successfully."}, "processed", 6, ""),
        ({"ShareStatus": " ", "Message": None}, "pending", None, ""),
        ({"ErrorMessage": 6}, "failed", 6, "6"),
        ({"ErrorMessage": 0}, "processed", 6, "Request processed successfully."),
    ],
)
def test_only_six_and_an_error_message_decide(
    fields: dict[str, Any], verdict: str, number: int | None, words: str
) -> None:
    assert read_status(status_answer(**fields)) == ShareStatus(verdict, number, words)


@pytest.mark.parametrize("error", [None, "No such lead"])
def test_a_status_keeps_the_http_status_it_came_with(error: str | None) -> None:
    came = status_answer(ErrorMessage=error)
    outcome = read_status(Answer(202, came.headers, came.body))
    assert isinstance(outcome, ShareStatus)
    assert outcome.status == 202


@pytest.mark.parametrize("number", [*range(-1, 6), *range(7, 20), 66])
def test_a_number_that_no_page_shows_decides_nothing(number: int) -> None:
    outcome = read_status(status_answer(ShareStatus=number))
    assert isinstance(outcome, ShareStatus)
    assert (outcome.verdict, outcome.number) == ("pending", number)


@pytest.mark.parametrize(
    "fields",
    [
        {"ShareStatus": "six"},
        {"ShareStatus": 6.5},
        {"ShareStatus": [6]},
        {"ShareStatus": 2**63},
        {"ErrorMessage": {"text": "x"}},
        {"Status": "Succeeded"},
    ],
)
def test_a_status_of_a_wrong_type_is_not_understood_and_decides_nothing(fields: dict[str, Any]) -> None:
    assert read_status(status_answer(**fields)) == Lost("the answer was not understood", 200)


# ------------------------------------------------------------------------------------ a lead's activities


def page(*records: dict[str, Any]) -> Answer:
    """A page of activities."""
    return answer(200, {"RecordCount": len(records), "ProspectActivities": list(records)})


@pytest.mark.parametrize(
    ("record", "owner"),
    [
        ({"Data": [{"Key": "Owner", "Value": USER}]}, Owner(USER)),
        ({"Data": [{"Key": "OwnerId", "Value": f" {USER} "}]}, Owner(USER)),
        ({"OwnerID": USER.upper().replace("-", "")}, Owner(USER)),
        ({"ActivityFields": {"ActivityOwner": USER}}, Owner(USER)),
        ({"ActivityFields": {"Owner": USER}, "Data": [{"Key": "Owner", "Value": "stale"}]}, Owner(USER)),
        (
            {"Owner": "Asha Rao", "OwnerId": USER, "OwnerIdEmailAddress": "a@x.com"},
            Owner(USER, "a@x.com", "Asha Rao"),
        ),
        ({"Fields": [{"SchemaName": "Owner", "Value": "A@x.com"}]}, Owner(email="A@x.com")),
        ({"ActivityFields": {"OwnerIdName": "Asha Rao"}}, Owner(name="Asha Rao")),
        ({"Data": [{"Key": "Owner", "Value": "a\ud800\x00b"}]}, Owner(name="a b")),
        ({"Data": [{"Key": "CreatedBy", "Value": USER}]}, None),
        ({"Owner": ZERO}, None),
        ({"Data": [{"Key": "Owner", "Value": [7]}, {"Key": "OwnerId", "Value": " "}]}, None),
        ({"Data": None, "ActivityFields": None}, None),
        ({}, None),
    ],
)
def test_an_activity_shows_its_owner_under_any_of_the_names(record: dict[str, Any], owner: Owner | None) -> None:
    read = read_activities(page({"Id": ACTIVITY} | record))
    assert isinstance(read, Activities)
    (view,) = read.shown
    assert (view.id, view.owner) == (ACTIVITY, owner)


def test_a_page_without_a_list_has_no_activities() -> None:
    assert read_activities(answer(200, {"RecordCount": 0})) == Activities(0)
    assert read_activities(page()) == Activities(0)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Status": "Success"},
        [],
        {"RecordCount": "many"},
        {"RecordCount": 1, "ProspectActivities": {}},
        {"RecordCount": 1, "ProspectActivities": [{}]},
        {"RecordCount": 2, "ProspectActivities": [{"Id": ACTIVITY}, {"Id": ZERO}]},
        {"RecordCount": None},
        [[{"Id": ACTIVITY}]],
    ],
)
def test_what_is_no_page_is_not_taken_for_an_empty_one(body: Any) -> None:
    assert read_activities(answer(200, body)) == Lost("the answer was not understood", 200)


def test_an_activity_is_read_with_its_date_and_every_text_of_it_wherever_it_stood() -> None:
    record = {
        "Id": f" {ACTIVITY} ",
        "CreatedOn": "2026-01-02 03:04:05",
        "Data": [{"Key": "Note", "Value": "In DATA"}, {"Key": "More", "Value": {"Deep": ["In A List", 7, None]}}],
        "ActivityFields": {"mx_Custom_1": "In FIELDS"},
        "ActivityNote": "Beside Them",
    }
    read = read_activities(answer(200, {"RecordCount": 250, "ProspectActivities": [record]}))
    assert isinstance(read, Activities)
    (view,) = read.shown
    assert (read.total, view.id, view.created_on) == (250, ACTIVITY, "2026-01-02 03:04:05")
    assert {"beside them", "in a list", "in data", "in fields"} <= set(view.said.split("\n"))


@pytest.mark.parametrize(
    ("body", "total"),
    [
        ({"RecordCount": "1", "ProspectActivities": [{"Id": ACTIVITY}]}, 1),
        ({"recordcount": 1, "LIST": [{"prospectactivityid": ACTIVITY}]}, 1),
        ({"RecordCount": None, "ProspectActivities": [{"ID": ACTIVITY}]}, None),
        ({"RecordCount": "many", "List": {"Id": ACTIVITY}}, None),
        ({"Data": {"ProspectActivities": [{"Id": ACTIVITY}]}}, None),
        ([{"Id": ACTIVITY}], None),
        ({"ID": ACTIVITY, "Fields": []}, None),
    ],
)
def test_a_page_is_read_in_whatever_spelling(body: Any, total: int | None) -> None:
    read = read_activities(answer(200, body))
    assert isinstance(read, Activities)
    assert (read.total, [view.id for view in read.shown]) == (total, [ACTIVITY])


def page_of_type(*records: dict[str, Any], count: int = 1) -> Answer:
    """A page of an account's activities of a type."""
    return answer(200, {"RecordCount": count, "List": list(records)})


@pytest.mark.parametrize(
    ("record", "lead", "created", "said"),
    [
        ({}, "", "", ACTIVITY),
        ({"CreatedOn": "2026-01-02 03:04:05"}, "", "2026-01-02 03:04:05", ACTIVITY),
        ({"RelatedProspectId": " ABC "}, "abc", "", " abc "),
        ({"Note": "one\r\n[two]"}, "", "", "one [two]"),
        ({"ActivityEvent_Note": "A Marker", "Count": 7}, "", "", "a marker"),
        ({"Fields": {"mx_Custom_1": ["A Marker"]}}, "", "", "a marker"),
    ],
)
def test_an_accounts_activity_is_read_with_its_lead_date_and_texts(
    record: dict[str, Any], lead: str, created: str, said: str
) -> None:
    read = read_activities(page_of_type({"ProspectActivityId": f" {ACTIVITY}"} | record, count=1001))
    assert isinstance(read, Activities)
    (view,) = read.shown
    assert (read.total, view.id, view.owner, view.lead, view.created_on) == (1001, ACTIVITY, None, lead, created)
    assert said.strip() in [text.strip() for text in view.said.split("\n")]


# ---------------------------------------------------------------------------------------------- whatever comes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["Status", "Message", "ExceptionType", "ExceptionMessage", "ShareStatus", "ErrorMessage", "RecordCount"]
ENVELOPE = st.dictionaries(
    st.sampled_from([*NAMES, "ProspectActivities", "Id", "Data"]),
    st.sampled_from(["Success", "Error", "Failed", "MXException", TOO_MANY]) | JSON,
)
BODY = (
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | ENVELOPE.map(lambda value: json.dumps(value).encode())
)
STATUS = st.sampled_from([200, 201, 204, 302, 400, 401, 403, 404, 429, 500, 502, 503]) | st.integers(100, 999)


@given(STATUS, st.dictionaries(st.just("retry-after"), st.text()), BODY)
def test_nothing_but_an_outcome_comes_out(status: int, headers: dict[str, str], body: bytes) -> None:
    came = Answer(status, headers, body)
    assert isinstance(judge(came), Judged | Failure)
    assert isinstance(read_activity_id(came), Outcome)
    assert isinstance(read_status(came), ShareStatus | Failure)
    assert isinstance(read_activities(came), Activities | Failure)


@given(STATUS, BODY)
def test_only_a_success_with_an_id_is_done(status: int, body: bytes) -> None:
    outcome = read_activity_id(Answer(status, {}, body))
    if isinstance(outcome, Done):
        assert 200 <= status < 300
        reported = read_json(body)
        assert reported["status"].strip().lower() == "success"
        # In the message or beside it, as text or as a number.
        places = [
            reported,
            *(reported["message"] if isinstance(reported.get("message"), list) else [reported.get("message")]),
        ]
        ids = [each.get(name) for each in places if isinstance(each, dict) for name in ACTIVITY_ID_KEYS]
        assert outcome.id in [str(each).strip().strip("{}") for each in ids]
