"""What of a call may stand in a wire log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_share.errors import SettingsError
from batch_share.leadsquared.protocol import Answer, Call, Lost, NotSent
from batch_share.leadsquared.wire_log import Replacing, WireLog

if TYPE_CHECKING:
    from pathlib import Path

GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
PLANTED = "zqplantedqz"
"""No word of LeadSquared's, nor a part of one."""


def cleaned(value: Any, name: str = "") -> Any:
    """What a log of its own would hold."""
    return Replacing().cleaned(value, name)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"ExceptionType": "MXInvalidInputException"}, None),
        ({"Status": "Success", "ShareStatus": 6, "ErrorMessage": None}, None),
        ({"Message": {"ResponseText": "Request processed successfully."}}, None),
        ({"ExceptionMessage": "API calls exceeded the limit of 20 in 5 second(s)"}, None),
        ({"SchemaName": "Owner", "Value": "Asha Rao"}, {"SchemaName": "Owner", "Value": "(text 8)"}),
        ({"Key": "FirstName", "Value": "Asha"}, {"Key": "FirstName", "Value": "(text 4)"}),
        ({"CreatedOn": "2026-11-27 10:00:00"}, None),
        ({"mx_Date_of_Birth": "1990-01-02"}, {"Field1": "(text 10)"}),
        ({"RecordCount": "12", "RowNumber": 3}, None),
        ({"Phone": "+91-9810000019"}, {"Phone": "+(text 2)-9000000001"}),
        ({"Salary": 1250000}, {"Field1": 9000001}),
        ({"Rating": 4.5, "Is": True}, {"Field1": 0, "Is": True}),
        ({"LookupName": "ProspectAutoId", "LookupValue": "869196;869197"}, "900001;900002"),
        ({"Name": "Invalid User"}, {"Name": "(text 12)"}),
        ({"ExceptionMessage": "Invalid email: asha.rao@example.org"}, "Invalid email: person1@example.com"),
        ({"ExceptionMessage": "'Asha Rao' does not exist"}, "'(text 8)' does not exist"),
        ({"Asha Rao": 1}, {"Field1": 1}),
        ({"prospectautoid": "869196"}, {"prospectautoid": "900001"}),
        ("[bs-abcdefghijklmnop] [2026-12-04T10:00Z] For", "[bs-aaaaaaaaaaaaaaab] [2026-12-04T10:00Z] (text 3)"),
    ],
)  # fmt: skip
def test_what_is_shown_of_an_answer(value: Any, shown: Any) -> None:
    found = cleaned(value)
    if isinstance(shown, str) and isinstance(value, dict):
        assert [*found.values()][-1] == shown
    else:
        assert found == (value if shown is None else shown)


def test_an_id_is_the_same_however_it_is_written_and_wherever() -> None:
    replacing = Replacing()
    first = replacing.cleaned({"Id": GUID, "Ids": [GUID.upper(), GUID.replace("-", "")], "Said": f"not {GUID}"})
    assert first["Id"] != GUID
    assert first["Ids"] == [first["Id"], first["Id"].replace("-", "")]
    assert first["Field1"] == f"(text 3) {first['Id']}"
    assert replacing.cleaned({"EntityId": "869196"}) == replacing.cleaned({"EntityId": "869196"})
    assert replacing.cleaned({"EntityId": "869197"}) != replacing.cleaned({"EntityId": "869196"})
    assert replacing.cleaned("A@b.example") == replacing.cleaned("a@B.example")


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=12), inside, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(
    ["Message", "ExceptionMessage", "Status", "Name", "Value", "Key", "Note", "Until", "Id", "Data"]
)
PLACES = st.sampled_from(
    ["{}", " {} ", "Invalid {}", "{}@example.org", "[bs-{}] {}", "{} 12345", "MX{}Exception x"]
)


@given(JSONS, NAMES, PLACES)
def test_nothing_planted_in_any_text_or_name_slips_through(value: Any, name: str, place: str) -> None:
    words = place.replace("{}", PLANTED)
    planted = {name: words, PLANTED: value, "List": [{name: [words, {name: words}]}, value], f"{name}_{PLANTED}": 1}
    shown = json.dumps(cleaned({"Data": planted, "Message": planted}))
    assert PLANTED not in shown.lower()


@given(JSONS)
def test_what_is_shown_has_the_form_of_what_was_said(value: Any) -> None:
    def form(each: Any) -> Any:
        if isinstance(each, dict):
            return [form(inside) for inside in each.values()]
        if isinstance(each, list):
            return [form(inside) for inside in each]
        return int if type(each) is float else type(each)

    assert form(cleaned(value)) == form(value)


def test_a_log_is_of_its_owner_alone_and_takes_no_files_place(tmp_path: Path) -> None:
    file = tmp_path / "wire.jsonl"
    with WireLog(file):
        pass
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(SettingsError, match="is there already: name a new file"):
        WireLog(file)
    with pytest.raises(SettingsError, match="can't be written"):
        WireLog(tmp_path / "no folder" / "wire.jsonl")


def test_every_ending_of_a_call_is_a_line(tmp_path: Path) -> None:
    file = tmp_path / "wire.jsonl"
    page = f"<html><title>Forbidden</title>{PLANTED}, access denied</html>".encode()
    with WireLog(file) as log:
        post = Call("POST", "EntityAccess.svc/Share", body=json.dumps([{"EntityId": "869196"}]).encode())
        log.note_call(post, Answer(429, {"Retry-After": "3", "Content-Type": "application/json; x=y"}, b"{}"), 0.5)
        log.note_call(post, Answer(403, {"Content-Type": PLANTED, "Retry-After": PLANTED}, page), 0.5)
        log.note_call(post, Lost("sent, but no answer came in time"), 60.0)
        log.note_call(Call("GET", "Status/Get", {"id": GUID}), NotSent("no connection"), 0.5)
        log.note_row(2, {"Lead Number": "869196", "Access": "read", "Note": PLANTED})
    first, throttled, denied, lost, not_sent, row = map(json.loads, file.read_text().splitlines())
    assert first["wire_log"] == 1
    assert throttled["request"] == [{"EntityId": "900001"}]
    assert (throttled["status"], throttled["retry_after"], throttled["answer"]) == (429, "3", {})
    assert (denied["content_type"], denied["bytes"]) == ("other", len(page))
    assert denied["text"] == "<html><title>Forbidden</title>(text 11), access denied</html>"
    assert lost["lost"] == "sent, but no answer came in time"
    assert not_sent["not_sent"] == "no connection"
    assert row == {"row": 2, "cells": {"Lead Number": "900001", "Access": "read", "Note": "(text 11)"}}
    assert PLANTED not in file.read_text()


def test_a_disk_that_is_full_stops_the_log_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WireLog(tmp_path / "wire.jsonl") as log:

        def full(_: str) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(log, "_out", type("Full", (), {"write": staticmethod(full), "close": log._out.close})())
        log.note_row(2, {})
        log.note_row(3, {})
        assert log.problem == "the wire log is not whole: No space left on device"
