"""Reading bodies: a wrong type is a 400, whatever it is; a missing property an MX exception."""

from __future__ import annotations

import pytest

from batch_share.sandbox.wire import Json, Refusal, json_array, json_object

NOT_JSON = [b"", b"{", b"\xff\xfe\xfd", b"[" * 100_000, b"1" * 5000]


@pytest.mark.parametrize("body", [*NOT_JSON, b"[]", b"null", b"1", b'"text"'])
def test_what_is_no_object_is_a_400(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        json_object(body)
    assert caught.value.reply.status == 400


@pytest.mark.parametrize("body", [*NOT_JSON, b"{}", b"[1]", b"[[]]", b"[null]"])
def test_what_is_no_array_of_objects_is_a_400(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        json_array(body)
    assert caught.value.reply.status == 400


@pytest.mark.parametrize("value", [True, 1.5, [], {}, "1.5", "x", "²", "12345678901", 12345678901])
def test_what_is_no_whole_number_is_a_400(value: object) -> None:
    with pytest.raises(Refusal) as caught:
        Json({"N": value}).integer("N")
    assert caught.value.reply.status == 400


@pytest.mark.parametrize("value", [3, "3"])
def test_a_number_may_come_as_digits(value: object) -> None:
    assert Json({"N": value}).integer("N") == 3


@pytest.mark.parametrize("properties", [{}, {"Id": None}, {"Id": "  "}])
def test_a_mandatory_property_must_say_something(properties: dict[str, object]) -> None:
    with pytest.raises(Refusal) as caught:
        Json(properties).needed("Id")
    assert caught.value.kind == "MXMandatoryAttributeMissingException"
    assert caught.value.reply.status == 500


@pytest.mark.parametrize("read", [Json.child, Json.children, Json.text])
def test_a_property_of_another_type_is_a_400(read: object) -> None:
    with pytest.raises(Refusal) as caught:
        read(Json({"X": True}), "X")  # type: ignore[operator]
    assert caught.value.reply.status == 400
