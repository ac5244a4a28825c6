"""Whatever bytes come back, every reader answers with a declared result and claims no more than it was told.

Three kinds of answers are tried: any bytes at all; any JSON; and, most of all, real answers with a few things wrong
(types swapped, fields missing, named twice or elsewhere, deep nests, numbers and texts that nobody expects). These
are built as JSON text, since a Python dict has no room for a name twice.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import astuple, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from fuzzing import FUZZED
from hypothesis import event, given
from hypothesis import strategies as st

from batch_share.common import Rate
from batch_share.leadsquared import guesses
from batch_share.leadsquared.people import FoundLead, FoundUser, KeyUser, read_key_user, read_leads, read_users
from batch_share.leadsquared.protocol import (
    Activities,
    ActivityView,
    Answer,
    Denied,
    Done,
    Failure,
    Judged,
    Lost,
    NotSent,
    Refused,
    ShareStatus,
    Throttled,
    judge,
    read_activities,
    read_activity_id,
    read_json,
    read_request_id,
    read_status,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Reader: TypeAlias = "Callable[[Answer], Any]"

THROTTLE: Final = "MXAPIRateLimitExceededException"
TOO_MANY: Final = "API calls exceeded the limit of 20 in 5 second(s)"
ID: Final = "0a1b2c3d-0000-4000-8000-00000000cccc"

# ----------------------------------------------------------------------------------------- JSON, as it is sent


@dataclass(frozen=True)
class Raw:
    """JSON text that goes out as it stands, be it JSON or not."""

    text: str


class Pairs(list[Any]):
    """An object as a list of `[name, value]`: a name may come twice."""


def pairs(value: Any) -> Any:
    """The same value with its objects as `Pairs`."""
    if isinstance(value, dict):
        return Pairs([name, pairs(each)] for name, each in value.items())
    return [pairs(each) for each in value] if isinstance(value, list) else value


def as_text(value: Any) -> str:
    """The value as JSON text."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(name)}:{as_text(each)}" for name, each in value) + "}"
    return "[" + ",".join(map(as_text, value)) + "]" if isinstance(value, list) else json.dumps(value)


def places(value: Any) -> list[tuple[list[Any], int]]:
    """Every list and index below `value` that holds a value: what may go wrong."""
    found: list[tuple[list[Any], int]] = []
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, list):
            inside = (
                [(pair, 1) for pair in each] if isinstance(each, Pairs) else [(each, i) for i in range(len(each))]
            )
            found += inside
            left += [holder[index] for holder, index in inside]
    return found


# --------------------------------------------------------------------------------------------------- real answers


_ACTIVITY: Final = {
    "Id": ID,
    "EventCode": 201,
    "CreatedOn": "2026-01-02 03:04:05",
    "ActivityFields": {"Owner": "u", "mx_Custom_1": "marker"},
    "Data": [{"Key": "NotableEventDescription", "Value": "note"}, {"Key": "OwnerId", "Value": "u"}],
}
_EVENT: Final = {
    "ProspectActivityId": ID,
    "RelatedProspectId": "l",
    "OwnerId": "u",
    "CreatedOn": "2026-01-02 03:04:05",
}
_LEAD: Final = {"ProspectID": "L", "ProspectAutoId": 7, "EmailAddress": "a@x.com", "Phone": "+91-9"}
_USER: Final = {"FirstName": "Asha", "LastName": "R", "EmailAddress": "a@x.com"}
REAL: Final[list[Any]] = [
    {"Status": "Success", "Message": {"Id": ID}},
    {"Status": "Success", "Message": {"Id": "98fe2984209c413c9b6b06a1b68111ff", "ResponseText": "Queued"}},
    {"Status": "Success", "Message": {"ResponseText": "Done"}, "ShareStatus": 6, "ErrorMessage": None},
    {
        "Status": "Success",
        "Message": {"ResponseText": "Done"},
        "ShareStatus": 6,
        "ErrorMessage": "User is inactive",
    },
    {"Status": "Error", "ExceptionType": THROTTLE, "ExceptionMessage": TOO_MANY},
    {"Status": "Error", "ExceptionType": "MXInvalidInputException", "ExceptionMessage": "No such lead"},
    {"Status": "Error", "ExceptionType": "SqlException", "ExceptionMessage": "deadlock"},
    {"Status": "Failed", "Message": {"Message": "Invalid event code"}},
    {"RecordCount": 2, "ProspectActivities": [_ACTIVITY, {"Id": ID, "Data": None, "ActivityFields": None}]},
    {"RecordCount": 1, "List": [_EVENT]},
    {"RecordCount": 1, "Leads": [_LEAD]},
    [_LEAD, {**_LEAD, "Phone": None}],
    [{"ID": "U", "StatusCode": 0, **_USER}, {"ID": "V", "StatusCode": 1, **_USER}],
    [{"UserId": "U", **_USER}],
    {"Id": "U", "TimeZone": "Asia/Kolkata", "Role": "Administrator"},
]
_NAMES: Final = sorted({word for word in json.dumps(REAL).split('"') if word.isidentifier()})
_WORDS: Final = [
    "Success",
    "Error",
    "Failed",
    "MX",
    THROTTLE,
    TOO_MANY,
    ID,
    *guesses.NO_ID,
    "limit of 0 in 0 second",
]
_ODD: Final[list[Any]] = [
    *map(
        Raw, ["NaN", "Infinity", "-Infinity", "1e400", "-0", "1E+2", "9" * 4_000, "9" * 5_000, "2147483648", "0.1"]
    ),
    *map(Raw, ['"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"\t"', '"\\u001b[2J"', '"\\u2028"', "", "tru", "'"]),
    *("x" * 100, "x" * 101, "x" * 100_000, " ", "a\nb", "\u202e", "\ufeff", "ß" * 600, "<" * 600, "<b>" * 300),
    *(None, True, False, 0, 1, 6, -1, 6.0, 2**31, -(2**63), 1.5, [], Pairs()),
]
VALUES: Final = st.sampled_from(_WORDS) | st.sampled_from(_ODD) | st.text(max_size=20)
_OFTEN: Final = [200] * 20 + [201, 204, 302, 400, 401, 403, 404, 429, 500, 500, 502, 503]
STATUSES: Final = st.sampled_from([*_OFTEN, -1]).flatmap(
    lambda often: st.integers() if often < 0 else st.just(often)
)
HEADERS: Final = st.dictionaries(
    st.sampled_from(["retry-after", "content-type"]), st.text(max_size=12)
) | st.builds(
    lambda value: {"retry-after": str(value)},
    st.integers() | st.floats() | st.sampled_from(["9" * 400, " 7 ", "٣"]),
)

# ---------------------------------------------------------------------------------------------- a few things wrong


def replaced(draw: Any, holder: list[Any], index: int) -> None:
    """Another value."""
    holder[index] = deepcopy(draw(VALUES))


def nested(draw: Any, holder: list[Any], index: int) -> None:
    """The value, far inside."""
    depth = draw(st.sampled_from([1, 2, 10, 500, 2_000, 100_000]))
    opening, closing = draw(st.sampled_from([("[", "]"), ('{"Message":', "}"), ('{"Id":', "}")]))
    holder[index] = Raw(opening * depth + as_text(holder[index]) + closing * depth)


def elsewhere(draw: Any, holder: list[Any], index: int) -> None:
    """A real answer in the value's place."""
    holder[index] = pairs(draw(st.sampled_from(REAL)))


def gone(draw: Any, holder: list[Any], index: int) -> None:
    """An object's fields, or a list's entries, but for one."""
    if isinstance(holder[index], list) and holder[index]:
        del holder[index][draw(st.integers(0, len(holder[index]) - 1))]


def added(draw: Any, holder: list[Any], index: int) -> None:
    """A field, whose name may be there already, or an entry."""
    value = deepcopy(draw(VALUES))
    if isinstance(holder[index], Pairs):
        holder[index].append([draw(st.sampled_from(_NAMES) | st.text(max_size=5)), value])
    elif isinstance(holder[index], list):
        holder[index].append(value)


def swapped(draw: Any, holder: list[Any], index: int) -> None:
    """An object as a list and the other way round, a number as a text and the other way round."""
    value = holder[index]
    if isinstance(value, Pairs):
        holder[index] = [each for _, each in value]
    elif isinstance(value, list):
        holder[index] = Pairs([name, each] for name, each in zip(_NAMES, value, strict=False))
    else:
        holder[index] = str(value) if isinstance(value, int | float) else 7


WRONGS: Final = [replaced, replaced, nested, elsewhere, gone, gone, added, added, swapped]


@st.composite
def nearly_right(draw: Any) -> bytes:
    """A real answer with up to four things wrong, as bytes of which some may be missing or odd as well."""
    whole = [pairs(draw(st.sampled_from(REAL)))]
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 2, 3, 4]))):
        holder, index = draw(st.sampled_from(places(whole)))
        draw(st.sampled_from(WRONGS))(draw, holder, index)
    text = as_text(whole[0])
    encoded: bytes = text.encode(
        draw(st.sampled_from(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "utf-32"])), "surrogatepass"
    )
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, min(len(encoded), 500)))
        encoded = encoded[:at] + draw(st.binary(max_size=3) | st.just(encoded[at + 1 :]))
    return encoded


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES) | st.text(), inner, max_size=4)
    ),
    max_leaves=10,
).map(lambda value: json.dumps(value).encode())

BODIES: Final = st.one_of(nearly_right(), nearly_right(), nearly_right(), JSON, st.binary())


# ---------------------------------------------------------------------------------------------- what must hold


def is_line(words: str) -> bool:
    """Whether words can be shown to anybody: printable, on one line, not endless."""
    return words.isprintable() and len(words) <= 500


def is_usable(found: object) -> bool:
    """Whether this, spaces around it left away, is an Id."""
    return (
        isinstance(found, str)
        and found.strip() not in guesses.NO_ID
        and found.strip().isprintable()
        and len(found.strip()) <= 100
    )


def is_foreign(name: str) -> bool:
    """Whether a name is none that anything is read from, in whatever case."""
    return name.lower() not in {*map(str.lower, _NAMES), *guesses.ACTIVITY_ID_KEYS, *guesses.REQUEST_ID_KEYS}


def reported_by(answer: Answer) -> dict[str, Any]:
    """The JSON object in an answer; an empty one if it holds none."""
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def told_by(answer: Answer) -> dict[str, Any]:
    """The same, with the names in lower case; that of a list of one counts too."""
    value = read_json(answer.body)
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    return value if isinstance(value, dict) else {}


def is_reported_throttle(answer: Answer) -> bool:
    """Whether an answer is beyond doubt a throttle."""
    reported = reported_by(answer)
    if answer.status == 429 or reported.get("ExceptionType") == THROTTLE:
        return True
    if reported.get("ExceptionMessage") != TOO_MANY:
        return False
    has_failed = reported.get("Status") in ("Error", "Failed") and reported.get("ExceptionType") is None
    return answer.status == 403 or (answer.status == 200 and has_failed)


def check_failure(failure: Failure, answer: Answer) -> None:
    """What a failure claims."""
    assert is_line(failure.words)
    assert failure.words
    assert failure.status == answer.status
    assert not isinstance(failure, NotSent)
    if isinstance(failure, Denied):
        assert answer.status in (401, 403)
    if isinstance(failure, Refused):
        check_refusal(answer)
    if isinstance(failure, Throttled):
        check_throttle(failure, answer)


def check_refusal(answer: Answer) -> None:
    """Only what was definitely not done is refused: never a broken server's page, never a plain 2xx."""
    if answer.status in (400, 404):
        return
    reported = told_by(answer)
    assert 200 <= answer.status < 300 or answer.status == 500
    assert reported["status"].strip().lower() == "failed" or (
        reported["status"].strip().lower() == "error" and reported["exceptiontype"].startswith("MX")
    )


def check_throttle(throttle: Throttled, answer: Answer) -> None:
    """A throttle says how long and how fast only within reason, and is never read out of a success or a page."""
    assert throttle.pause is None or 0 <= throttle.pause <= 300
    assert throttle.closed_for is None or 0 <= throttle.closed_for <= guesses.LONGEST_CLOSED
    assert throttle.rate is None or guesses.is_believed(throttle.rate)
    if answer.status != 429 and throttle.words != THROTTLE:
        reported = told_by(answer)
        is_typed = reported.get("exceptiontype") == THROTTLE
        assert is_typed or answer.status in (200, 403)
        assert is_typed or answer.status != 200 or reported["status"].strip().lower() in ("error", "failed")


def check_id(found: Any, answer: Answer) -> None:
    """Done is a 2xx that says Success and has a usable Id, as text or as a number, and nothing else."""
    assert isinstance(found, Done)
    assert 200 <= answer.status < 300
    reported = told_by(answer)
    assert reported["status"].strip().lower() == "success"
    assert is_usable(found.id)
    assert found.id in {spelled for value in _values(reported) for spelled in _spelled(value)}


def _spelled(value: Any) -> Iterator[str]:
    """How an Id may be written: a number with an exponent may be a whole one."""
    yield str(value).strip()
    if isinstance(value, float) and value.is_integer():
        yield str(int(value))


def _values(reported: Any) -> Iterator[Any]:
    """Every value of a JSON object, and of what is in it."""
    for value in (
        reported.values() if isinstance(reported, dict) else reported if isinstance(reported, list) else ()
    ):
        yield value
        yield from _values(value)


def check_status(found: Any, answer: Answer) -> None:
    """A request is processed or failed only by the documented number and field."""
    assert isinstance(found, ShareStatus)
    assert 200 <= found.status == answer.status < 300
    assert found.number is None or -(2**31) <= found.number < 2**31
    assert is_line(found.words)
    reported = read_json(answer.body)
    reported = reported[0] if isinstance(reported, list) else reported
    inside = reported["message"] if isinstance(reported.get("message"), dict) else {}
    error = reported.get("errormessage") or inside.get("errormessage") or ""
    failed = not (isinstance(error, str) and error.strip().lower() in {"", *guesses.NO_ERROR})
    processed = found.number == guesses.PROCESSED
    assert found.verdict == ("failed" if failed else "processed" if processed else "pending")


def check_activities(found: Any, answer: Answer) -> None:
    """A page counts, and shows only activities that have an Id."""
    assert isinstance(found, Activities)
    assert 200 <= answer.status < 300
    assert found.total is None or type(found.total) is int
    for view in found.shown:
        assert isinstance(view, ActivityView)
        assert is_usable(view.id)
        assert view.id == view.id.strip()
        assert view.owner is None or (str(view.owner) and all(map(is_line, astuple(view.owner))))
        assert isinstance(view.created_on, str)
        assert isinstance(view.said, str)


def check_all(kind: type[FoundLead | FoundUser], found: Any, answer: Answer) -> None:
    """A list of these, each text of which can be stored and shown."""
    assert isinstance(found, list)
    assert 200 <= answer.status < 300
    for each in found:
        assert isinstance(each, kind)
        for value in astuple(each):
            assert type(value) is bool or is_line(value)


def check_key_user(found: Any, answer: Answer) -> None:
    """The user behind the keys."""
    assert isinstance(found, KeyUser)
    assert 200 <= answer.status < 300
    assert all(isinstance(text, str) for text in (found.id, found.role, found.time_zone))


READERS: Final[dict[Reader, Callable[[Any, Answer], None]]] = {
    read_activity_id: check_id,
    read_request_id: check_id,
    read_status: check_status,
    read_activities: check_activities,
    read_leads: partial(check_all, FoundLead),
    read_users: partial(check_all, FoundUser),
    read_key_user: check_key_user,
}


@FUZZED
@given(status=STATUSES, headers=HEADERS, body=BODIES)
def test_every_reader_answers_with_what_it_declares_and_claims_no_more_than_it_was_told(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    answer = Answer(status, headers, body)
    judged = judge(answer)
    event(type(judged).__name__)
    for read, check in READERS.items():
        found = read(answer)
        if isinstance(found, Failure):
            check_failure(found, answer)
            # What is read may be less than was judged: no answer after all, or a failure that holds an Id.
            assert found == judged or (isinstance(judged, Judged | Refused) and isinstance(found, Lost))
        else:
            event(f"{read.__name__} reads it")
            check(found, answer)
    if is_reported_throttle(answer):
        assert isinstance(judged, Throttled)
    elif status in (401, 403):
        assert isinstance(judged, Denied | Throttled)
    elif status in (400, 404):
        assert isinstance(judged, Refused | Throttled)


@FUZZED
@given(
    status=st.integers(200, 299),
    found=st.text(max_size=110) | st.sampled_from([ID, f" {ID}\n", "a" * 100, "a" * 101, *guesses.NO_ID]),
    said=st.none() | st.text(),
    more=st.dictionaries(st.text().filter(is_foreign), st.integers()),
)
def test_a_success_is_done_exactly_if_its_id_is_usable(
    status: int, found: str, said: str | None, more: dict[str, int]
) -> None:
    reported = {"Status": "Success", "Message": {"Id": found, "ResponseText": said, **more}, **more}
    outcome = read_activity_id(Answer(status, {}, json.dumps(reported).encode()))
    assert outcome == (Done(found.strip()) if is_usable(found) else Lost("the answer has no Id", status))


@FUZZED
@given(
    status=st.sampled_from([200, 302, 400, 401, 403, 404, 500, 503]) | st.integers(),
    headers=HEADERS,
    reported=st.dictionaries(
        st.sampled_from(_NAMES), VALUES.filter(lambda value: not isinstance(value, Raw | Pairs))
    ),
    by=st.sampled_from(["status", "type", "words"]),
)
def test_a_throttle_is_one_whatever_else_the_answer_says(
    status: int, headers: dict[str, str], reported: dict[str, Any], by: str
) -> None:
    if by == "status":
        status = 429
    elif by == "type":
        reported["ExceptionType"] = THROTTLE
    else:
        status = 200 if status % 2 else 403
        reported |= {"Status": "Error", "ExceptionType": None, "ExceptionMessage": TOO_MANY.upper()}
    answer = Answer(status, headers, json.dumps(reported).encode())
    for read in READERS:
        found = read(answer)
        assert isinstance(found, Throttled)
        check_failure(found, answer)
        assert by != "words" or found.rate == Rate(20, 5.0)
