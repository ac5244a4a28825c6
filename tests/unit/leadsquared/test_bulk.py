"""Many activities to a call: the request as documented, and an answer believed only as far as it fits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_share.common import Rate
from batch_share.leadsquared.protocol import (
    MOST_ACTIVITIES,
    Answer,
    Denied,
    Done,
    Lost,
    NotSent,
    Refused,
    Throttled,
    bulk_activity,
    post_activities,
    read_items,
)

if TYPE_CHECKING:
    from batch_share.leadsquared.protocol import BulkActivity

THROTTLE: Final = "MXAPIRateLimitExceededException"
TOO_MANY: Final = "API calls exceeded the limit of 10 in 5 second(s)"
DAILY: Final = "API calls exceeded the limit of 10000 in 86400 second(s)"
ZERO: Final = "00000000-0000-0000-0000-000000000000"
UNMATCHED: Final = Lost("the answer does not match what was sent", 200)
UNPLAIN: Final = Lost("the answer does not say plainly whether it was posted", 200)
UNREAD: Final = Lost("the answer was not understood", 200)


def lead(number: int) -> str:
    """A lead's Id."""
    return f"{number:08x}-0000-4000-8000-00000000aaaa"


def made(number: int) -> str:
    """An activity's Id."""
    return f"{number:08x}-0000-4000-8000-00000000cccc"


def activities(count: int) -> list[BulkActivity]:
    """As many, each on a lead of its own."""
    return [
        bulk_activity(lead_id=lead(at), event=201, note=f"note {at}", owner_email="a@b.example")
        for at in range(1, count + 1)
    ]


def item(number: int, **fields: Any) -> dict[str, Any]:
    """An item that was posted, some of it changed."""
    return {"RowNumber": number, "ProspectActivityId": made(number), "ActivityCreated": True} | fields


def without(given: dict[str, Any], *names: str) -> dict[str, Any]:
    """An item without some of its fields."""
    return {name: value for name, value in given.items() if name not in names}


def answer(body: Any, status: int = 200) -> Answer:
    """An answer; a body that is not bytes is sent as JSON."""
    return Answer(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


def read(*items: Any, count: int | None = None) -> Any:
    """What an answer of these items says of as many activities, or of `count`."""
    return read_items(answer({"Response": items}), activities(len(items) if count is None else count))


# ------------------------------------------------------------------------------------------ requests


def test_activities_are_posted_as_documented_with_the_owners_address() -> None:
    first = bulk_activity(lead_id=lead(1), event=201, note="Grüße „हिन्दी“", owner_email="a@b.example")
    second = bulk_activity(
        lead_id=lead(2), event=202, note="", owner_email="c@d.example", custom={"mx_Custom_1": "x"}
    )
    call = post_activities([first, second])
    assert (call.method, call.query) == ("POST", {})
    assert call.path == "ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId"
    assert json.loads(call.body or b"") == [
        {
            "RelatedProspectId": lead(1),
            "ActivityEvent": 201,
            "ActivityNote": "Grüße „हिन्दी“",
            "ActivityOwnerEmail": "a@b.example",
        },
        {
            "RelatedProspectId": lead(2),
            "ActivityEvent": 202,
            "ActivityNote": "",
            "ActivityOwnerEmail": "c@d.example",
            "Fields": [{"SchemaName": "mx_Custom_1", "Value": "x"}],
        },
    ]


@pytest.mark.parametrize("count", [1, 2, MOST_ACTIVITIES])
def test_each_activity_is_an_element(count: int) -> None:
    call = post_activities(activities(count))
    assert [each["RelatedProspectId"] for each in json.loads(call.body or b"")] == [
        lead(at) for at in range(1, count + 1)
    ]


# ------------------------------------------------------------------------------------------ items that fit


@pytest.mark.parametrize("name", [None, "Response", "Data", "List", "Records", "Whatever"])
def test_items_are_read_bare_or_under_any_name(name: str | None) -> None:
    items = [item(1), item(2)]
    assert read_items(answer({name: items} if name else items), activities(2)) == (Done(made(1)), Done(made(2)))


@pytest.mark.parametrize("count", [1, 2, MOST_ACTIVITIES])
def test_each_item_that_was_posted_is_done_with_its_id(count: int) -> None:
    assert read(*map(item, range(1, count + 1))) == tuple(Done(made(at)) for at in range(1, count + 1))


@pytest.mark.parametrize(
    "items",
    [
        [item(2), item(1)],
        [item(1, RowNumber="1"), item(2, RowNumber="2")],
        [item(1, RowNumber=1.0), item(2)],
        [without(item(1), "RowNumber"), without(item(2), "RowNumber")],
        [item(1, RowNumber=None), item(2, RowNumber=None)],
        [without(item(1), "ActivityCreated"), item(2, ActivityCreated=None)],
        [item(1, ActivityCreated=None, ActivityAdded=True), item(2, ActivityAdded=False)],
        [item(1, ActivityCreated="true"), item(2, ActivityCreated=1)],
        [item(1, RelatedProspectId=lead(1).upper()), item(2, RelatedProspectId=None)],
        [item(1, RelatedProspectId=""), item(2, RelatedProspectId=lead(2))],
        [item(1, ExceptionMessage="a warning"), item(2, ErrorMessage="another", ExceptionType="MXSome")],
        [item(1, ProspectActivityId=f" {made(1)} "), item(2, Nobody="told us")],
        [{name.upper(): value for name, value in item(1).items()}, item(2, RowNumber="2", ActivityCreated="true")],
    ],
)
def test_a_right_answer_in_another_form_is_an_answer(items: list[Any]) -> None:
    assert read(*items) == (Done(made(1)), Done(made(2)))


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"ExceptionMessage": "No such lead"}, Refused("No such lead", "", 200)),
        ({"ErrorMessage": "No such lead"}, Refused("No such lead", "", 200)),
        ({"ExceptionType": "MXSome"}, Refused("MXSome", "MXSome", 200)),
        ({"ExceptionMessage": "a\n b", "ExceptionType": "MXSome"}, Refused("a b", "MXSome", 200)),
        ({}, Refused("no reason was given", "", 200)),
        ({"ProspectActivityId": ZERO}, Refused("no reason was given", "", 200)),
        ({"ActivityCreated": None, "ActivityAdded": False}, Refused("no reason was given", "", 200)),
        ({"ExceptionType": THROTTLE}, Throttled(THROTTLE, status=200)),
        ({"ExceptionMessage": TOO_MANY}, Throttled(TOO_MANY, rate=Rate(10, 5.0), status=200)),
        ({"ExceptionMessage": DAILY}, Throttled(DAILY, status=200, closed_for=86_400.0)),
        ({"ExceptionMessage": f"No note: {DAILY}"}, Refused(f"No note: {DAILY}", "", 200)),
        ({"ExceptionType": "MXSome", "ExceptionMessage": DAILY}, Refused(DAILY, "MXSome", 200)),
    ],
)
def test_an_item_that_says_it_was_not_posted_is_refused_alone(fields: dict[str, Any], outcome: Refused) -> None:
    refused = {"RowNumber": 2, "ProspectActivityId": None, "ActivityCreated": False} | fields
    assert read(item(1), refused, item(3)) == (Done(made(1)), outcome, Done(made(3)))


@pytest.mark.parametrize(
    "said",
    [
        item(2, ActivityCreated=False),
        item(2, ActivityCreated=None, ActivityAdded=False),
        item(2, ActivityCreated=None, ExceptionMessage="Not quite"),
        item(2, ActivityCreated=None, ErrorMessage="Not quite"),
        item(2, ActivityCreated=None, ExceptionType="MXSome"),
        item(2, ActivityCreated=False, ExceptionType=THROTTLE),
        item(2, ProspectActivityId=None),
        item(2, ProspectActivityId=ZERO),
        item(2, ProspectActivityId="x" * 101),
        item(2, ProspectActivityId="a\tb"),
        {"RowNumber": 2},
        {"RowNumber": 2, "ExceptionMessage": "Something went wrong"},
        {"RowNumber": 2, "ExceptionType": THROTTLE},
    ],
)
def test_an_item_that_says_neither_plainly_is_looked_up_alone(said: dict[str, Any]) -> None:
    assert read(item(1), said, item(3)) == (Done(made(1)), UNPLAIN, Done(made(3)))


def test_what_an_item_says_of_the_keys_is_hidden() -> None:
    def redact(words: str) -> str:
        return words.replace("SECRET", "***")

    items = [
        {"ActivityCreated": False, "ExceptionMessage": "got SECRET", "ExceptionType": "MXSECRET"},
        {"ActivityCreated": False, "ExceptionMessage": f"{TOO_MANY} SECRET"},
    ]
    reported = Answer(200, {}, json.dumps({"Response": items}).encode(), redact)
    assert read_items(reported, activities(2)) == (
        Refused("got ***", "MX***", 200),
        Throttled(f"{TOO_MANY} ***", rate=Rate(10, 5.0), status=200),
    )


# ------------------------------------------------------------------------------------------ items that do not


@pytest.mark.parametrize(
    "items",
    [
        [item(1)],
        [item(1), item(2), item(3)],
        [item(1), None],
        [item(0, ProspectActivityId=made(1)), item(1, ProspectActivityId=made(2))],
        [item(1), item(2, RowNumber=1)],
        [item(1), item(2, RowNumber=3)],
        [item(1), item(2, RowNumber=-2)],
        [item(1), without(item(2), "RowNumber")],
        [item(1, RelatedProspectId=lead(2)), item(2, RelatedProspectId=lead(1))],
        [item(1), item(2, RelatedProspectId=lead(7))],
        [item(1), item(2, ProspectActivityId=made(1))],
        [item(10), item(2, ProspectActivityId=made(10).upper())],
        [item(1), item(2, ProspectActivityId=made(1), ActivityCreated=False)],
    ],
)
def test_items_that_are_not_of_these_activities_say_nothing_of_any(items: list[Any]) -> None:
    assert read(*items, count=2) == UNMATCHED


@pytest.mark.parametrize(
    "wrong",
    [
        7,
        "posted",
        [],
        [item(2)],
        item(2, RowNumber="two"),
        item(2, RowNumber=1.5),
        item(2, RowNumber=[2]),
        item(2, ProspectActivityId={"Id": made(2)}),
        item(2, ProspectActivityId=True),
        item(2, ActivityCreated="perhaps"),
        item(2, ActivityCreated=2),
        item(2, ActivityCreated=[]),
        item(2, ExceptionMessage={"Text": "no"}),
        item(2, ErrorMessage=["no"]),
        item(2, ExceptionType=False),
    ],
)
def test_one_item_of_another_type_makes_the_whole_unreadable(wrong: Any) -> None:
    assert read(item(1), wrong) == UNREAD


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Response": None},
        {"Response": "Success"},
        {"Status": "Success", "Message": {"Id": made(1)}},
        {"Response": []},
        "done",
        None,
        7,
    ],
)
def test_an_answer_of_another_shape_says_nothing(body: Any) -> None:
    assert isinstance(read_items(answer(body), activities(1)), Lost)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"<html>", b"\xff\xfe", b'{"Response":[{"RowNumber":1', b"[" * 100_000]
)
@pytest.mark.parametrize("status", [200, 204, 302, 500, 502])
def test_what_is_no_json_says_nothing(body: bytes, status: int) -> None:
    assert isinstance(read_items(answer(body, status), activities(1)), Lost)


# ------------------------------------------------------------------------------------------ the call as a whole


@pytest.mark.parametrize(
    ("status", "kind", "outcome"),
    [
        (200, "MXSome", Refused("words", "MXSome", 200)),
        (400, "MXSome", Refused("words", "MXSome", 400)),
        (404, "", Refused("words", "", 404)),
        (500, "MXSome", Refused("words", "MXSome", 500)),
        (500, "", Lost("words", 500)),
        (200, THROTTLE, Throttled("words", status=200)),
        (429, "", Throttled("words", status=429)),
        (401, "MXSome", Denied("words", 401)),
        (403, "", Denied("words", 403)),
    ],
)
@pytest.mark.parametrize("items", [None, [], 0])
def test_a_call_may_be_refused_as_a_whole(status: int, kind: str, outcome: Any, items: Any) -> None:
    envelope = {"Status": "Error", "ExceptionType": kind, "ExceptionMessage": "words", "Response": items}
    assert read_items(answer(envelope, status), activities(2)) == outcome


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("kind", ["MXSome", THROTTLE])
def test_a_refusal_that_holds_items_is_none(status: int, kind: str) -> None:
    envelope = {"Status": "Error", "ExceptionType": kind, "ExceptionMessage": "words", "Response": [item(1)]}
    reported = read_items(answer(envelope, status), activities(1))
    assert reported == Lost("the answer is a refusal, but holds items", status)


# ------------------------------------------------------------------------------------------ whatever comes

ODD: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 4)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["1", "2"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
IDS: Final = st.sampled_from([made(1), made(2), made(10), made(10).upper(), ZERO, "", None]) | ODD
ITEM: Final = st.fixed_dictionaries(
    {},
    optional={
        "RowNumber": st.integers(0, 4) | ODD,
        "ProspectActivityId": IDS,
        "RelatedProspectId": st.sampled_from([lead(1), lead(2), None]) | ODD,
        "ActivityCreated": st.booleans() | ODD,
        "ActivityAdded": st.booleans() | ODD,
        "ExceptionType": st.sampled_from([None, "MXSome", THROTTLE]) | ODD,
        "ExceptionMessage": st.sampled_from([None, "No", TOO_MANY]) | ODD,
        "ErrorMessage": st.sampled_from([None, "No"]) | ODD,
    },
)
PLAUSIBLE: Final = st.fixed_dictionaries(
    {"Response": st.lists(ITEM, max_size=4)}, optional={"Status": st.sampled_from(["Success", "Error", "Failed"])}
)
BODIES: Final = st.binary(max_size=200) | (PLAUSIBLE | ODD).map(lambda value: json.dumps(value).encode())


def leaves(value: Any) -> list[Any]:
    """Whatever a JSON value holds that is no list and no object."""
    if isinstance(value, dict):
        return leaves([*value.values()])
    return [leaf for each in value for leaf in leaves(each)] if isinstance(value, list) else [value]


@given(BODIES, st.sampled_from([200, 201, 400, 401, 404, 429, 500, 502]), st.integers(1, 3))
def test_whatever_comes_nothing_is_done_that_has_no_id_in_the_answer(body: bytes, status: int, count: int) -> None:
    reported = read_items(Answer(status, {}, body), activities(count))
    if not isinstance(reported, tuple):
        assert isinstance(reported, Refused | Throttled | Denied | Lost)
        return
    assert 200 <= status < 300
    assert len(reported) == count
    given = [str(each).strip().strip("{}") for each in leaves(json.loads(body))]
    done = [each.id for each in reported if isinstance(each, Done)]
    assert len({each.lower() for each in done}) == len(done)
    assert {*done} <= {*given}
    assert not [each for each in reported if isinstance(each, NotSent | Denied)]


@given(st.permutations(range(1, 6)), st.lists(st.booleans(), min_size=5, max_size=5))
def test_each_row_gets_the_item_of_its_number_in_whatever_order(order: list[int], posted: list[bool]) -> None:
    refused = {"ActivityCreated": False, "ProspectActivityId": None, "ExceptionMessage": "No"}
    items = [item(at) if posted[at - 1] else {"RowNumber": at} | refused for at in order]
    wanted = [Done(made(at)) if posted[at - 1] else Refused("No", "", 200) for at in range(1, 6)]
    assert read(*items) == tuple(wanted)
