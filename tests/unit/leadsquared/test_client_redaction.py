"""Redaction: no four characters of a key are left in words, of letters no eight, and nothing honest is lost."""

from __future__ import annotations

import base64
import html
import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from batch_share.common import Rate
from batch_share.leadsquared.client import Redactor
from batch_share.leadsquared.protocol import (
    Answer,
    Done,
    Lost,
    Refused,
    Throttled,
    judge,
    read_activity_id,
    read_status,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ACCESS: Final = "u$r7f3d09c1be5a4826d9e0fb4ac71358ed2"
SECRET: Final = "9c2e41d7b6f80a35ced1907fb8462ace53d1f07b"
REAL: Final = Redactor(SecretStr(ACCESS), SecretStr(SECRET))
MADE_UP: Final = Redactor(SecretStr("sandbox-access-key"), SecretStr("sandbox-secret-key"))
GUID: Final = "98fe7f3d-19c2-4d7b-a5a4-0fb4ac71358e"
"""An Id that shares many pieces with the keys, as one in sixty does with any."""


def pieces(text: str) -> list[str]:
    """The pieces of the keys, of four characters, that a text holds."""
    return [key[at : at + 4] for key in (ACCESS, SECRET) for at in range(len(key) - 3) if key[at : at + 4] in text]


def words(status: int, body: object) -> str:
    """What is kept of an answer that says no."""
    said = json.dumps(body).encode() if not isinstance(body, bytes) else body
    judged = judge(Answer(status, {}, REAL.without_keys(said), REAL.without_pieces))
    assert isinstance(judged, Refused | Lost | Throttled)
    return judged.words


@pytest.mark.parametrize(
    "write",
    [
        str,
        lambda key: key[:10],
        lambda key: key[:4],
        lambda key: key[-4:],
        lambda key: f"{key[:4]}****{key[-4:]}",
        lambda key: f"{key[:9]}<wbr>{key[9:]}",
        lambda key: f"{key[:9]}\n{key[9:]}",
        lambda key: f"&#{ord(key[0])};{key[1:]}",
        lambda key: f"%{ord(key[0]):x}{key[1:]}",
        html.escape,
        lambda key: quote(key, safe=""),
    ],
)
@pytest.mark.parametrize("key", [ACCESS, SECRET])
def test_no_piece_of_a_key_is_left_however_a_server_cuts_or_masks_it(write: Callable[[str], str], key: str) -> None:
    text = f"the key {write(key)} is not known"
    page = f"<html><body><pre>{text}</pre></body></html>".encode()
    bodies: list[object] = [{"Status": "Failed", "Message": text}, page, f"{text[:-13]}".encode()]
    bodies += [{"Status": "Error", "ExceptionType": "MX", "ExceptionMessage": text}]
    for body in bodies:
        said = words(500, body)
        assert not pieces(said)
        assert "the key ***" in said or "the key u***" in said or "the key &#" in said or "the key %" in said


@pytest.mark.parametrize("escape", ["\\u0024", "\\U0024".lower()])
def test_a_key_that_json_escapes_in_another_way_is_redacted_once_it_is_read(escape: str) -> None:
    body = f'{{"Status":"Failed","Message":"key {ACCESS.replace("$", escape)}"}}'.encode()
    assert words(200, body) == "key ***"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_key_in_json_of_another_encoding_is_redacted_once_it_is_read(encoding: str) -> None:
    body = json.dumps({"Status": "Failed", "Message": f"key {SECRET}"}).encode(encoding)
    assert words(200, body) == "key ***"


@pytest.mark.parametrize("before", ["", "x", "xy", "Authorization: "])
def test_a_key_inside_base64_is_redacted(before: str) -> None:
    encoded = base64.b64encode(f"{before}{SECRET}:".encode()).decode()
    known = base64.b64encode(f"{before}{SECRET}".encode()).decode().rstrip("=")[:-1]
    said = words(500, {"Status": "Failed", "Message": f"sent {encoded} in vain"})
    assert not [at for at in range(len(before) * 4 // 3 + 2, len(known) - 3) if known[at : at + 4] in said]


@pytest.mark.parametrize("where", ["ErrorMessage", "ResponseText"])
def test_the_status_apis_words_are_redacted(where: str) -> None:
    message = {"ResponseText": f"queued for {SECRET[:8]}"} if where == "ResponseText" else {}
    body = {"Status": "Success", "Message": message, "ShareStatus": 1}
    body |= {"ErrorMessage": f"queued for {SECRET[:8]}"} if where == "ErrorMessage" else {}
    answer = Answer(200, {}, json.dumps(body).encode(), REAL.without_pieces)
    assert getattr(read_status(answer), "words", None) == "queued for ***"


def test_an_id_that_shares_pieces_with_a_key_is_not_touched() -> None:
    body = json.dumps({"Status": "Success", "Message": {"Id": GUID}}).encode()
    outcome = read_activity_id(Answer(200, {}, REAL.without_keys(body), REAL.without_pieces))
    assert getattr(outcome, "id", None) == GUID
    assert pieces(GUID)


def test_a_throttle_is_judged_by_what_was_said_and_not_by_what_is_shown() -> None:
    redactor = Redactor(SecretStr("u$r1000ab2500c"), SecretStr("limit-of-1000-in-5-secondS"))
    body = json.dumps(
        {"Status": "Error", "ExceptionMessage": "API calls exceeded the limit of 1000 in 5 second(s)"}
    )
    judged = judge(Answer(403, {}, body.encode(), redactor.without_pieces))
    assert isinstance(judged, Throttled)
    assert judged.rate == Rate(1000, 5.0)
    assert "1000" not in judged.words


@pytest.mark.parametrize(
    "honest",
    [
        "Invalid Access Details provided.",
        "Secret or access key is wrong",
        "You are not allowed to use this API",
        "API calls exceeded the limit of 25 in 5 second(s)",
        "The sandbox has no such key",
    ],
)
@pytest.mark.parametrize("redactor", [REAL, MADE_UP], ids=["real", "made up"])
def test_honest_words_stay_as_they_are_also_with_keys_made_of_words(redactor: Redactor, honest: str) -> None:
    assert redactor.without_pieces(honest) == honest


@pytest.mark.parametrize("key", ["a", "I", "Id", "key", "Succ"])
def test_a_key_too_short_for_one_leaves_answers_whole_and_is_hidden_as_a_word(key: str) -> None:
    redactor = Redactor(SecretStr(key), SecretStr("b"))
    body = b'{"Status": "Success", "Message": {"Id": "76a78d32-f5bd-4d9a-abf0-3e79b24f95dc"}}'
    outcome = read_activity_id(Answer(200, {}, redactor.without_keys(body), redactor.without_pieces))
    assert outcome == Done("76a78d32-f5bd-4d9a-abf0-3e79b24f95dc")
    assert (
        redactor.without_keys(f"The key '{key}' is not valid".encode()) != f"The key '{key}' is not valid".encode()
    )
    assert f"'{key}'".encode() not in redactor.without_keys(f"accessKey='{key}'".encode())


@pytest.mark.parametrize("key", ["u$r7lead9f3d09c1be", "9c2Access41d7b6f80a"])
def test_a_piece_of_a_key_that_is_a_common_word_blots_no_word(key: str) -> None:
    honest = "The lead is gone: no Access to leads, Lead 7"
    redactor = Redactor(SecretStr(key), SecretStr(SECRET))
    assert redactor.without_pieces(honest) == honest
    assert redactor.without_pieces(f"{honest}: {key[:14]}") == f"{honest}: ***"


def test_a_key_made_of_words_is_redacted_too_whole_or_cut() -> None:
    assert MADE_UP.without_pieces("keys sandbox-access-key and sandbox-se…") == "keys *** and ***…"


def test_an_answer_shows_nothing_that_a_server_may_have_quoted() -> None:
    answer = Answer(200, {"x-echo": SECRET}, SECRET[:9].encode(), REAL.without_pieces)
    assert repr(answer) == "Answer(status=200)"
    assert not pieces(repr(REAL).partition(" at 0x")[0])  # where it is in memory may have a piece by chance


@given(
    key=st.text(
        st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="*"), min_size=4, max_size=40
    ),
    around=st.lists(st.text(max_size=6), min_size=2, max_size=2),
    cut=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
def test_no_piece_of_any_key_is_left_in_any_words(key: str, around: list[str], cut: tuple[int, int]) -> None:
    redactor = Redactor(SecretStr(f"{key}7"), SecretStr(""))
    said = redactor.without_pieces(around[0] + f"{key}7"[cut[0] :][: cut[1]] + around[1])
    whole = f"{key}7"
    left = [whole[at : at + 4] for at in range(len(whole) - 3)]
    left = [piece for piece in left if not re.fullmatch(r"[A-Za-z._-][a-z._-]*", piece)]  # which may be a word
    left += [whole[at : at + 8] for at in range(len(whole) - 7)]
    assert not [piece for piece in left if piece in said]
