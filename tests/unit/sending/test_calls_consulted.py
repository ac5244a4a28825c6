"""APIs that a run can do without: how often one is asked that is not there."""

from __future__ import annotations

import asyncio
import json
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from batch_share.leadsquared.account import MOST_LOST, Apis
from batch_share.leadsquared.people import leads_where, read_leads
from batch_share.leadsquared.protocol import Answer
from batch_share.sending.calls import READ_TRIES, consult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch_share.sending.session import Connection

AT_ONCE = 40
PAGE, LEADS = b"<html><h1>Not here</h1></html>", b'[{"ProspectID": "x"}]'


def said(words: str) -> bytes:
    error = {"Status": "Error", "ExceptionType": "MXException", "ExceptionMessage": words}
    return json.dumps(error).encode()


async def asked(answers: Iterator[Answer]) -> list[int]:
    """How many calls are under way with each of those that are made, if many ask at once and once more."""
    under_way = 0
    seen: list[int] = []

    async def send(*_call: object) -> Answer:
        nonlocal under_way
        seen.append(under_way := under_way + 1)
        for _ in range(AT_ONCE):  # so long that all who may ask do
            await asyncio.sleep(0)
        under_way -= 1
        return next(answers)

    session = SimpleNamespace(
        apis=Apis(),
        pacer=SimpleNamespace(slot=nullcontext),
        send=send,
        called=lambda: None,
        health=SimpleNamespace(answered=lambda: None),
        tally=SimpleNamespace(remark=lambda _: None),
    )
    call = leads_where("ProspectAutoId", ["1"], "=")
    questions = (consult(cast("Connection", session), call, read_leads) for _ in range(AT_ONCE))
    await asyncio.gather(*questions)
    await consult(cast("Connection", session), call, read_leads)
    return seen


def always(status: int, body: bytes) -> Iterator[Answer]:
    while True:
        yield Answer(status, {}, body)


@pytest.mark.parametrize("status", [404, 405, 501])
@pytest.mark.parametrize("body", [PAGE, b"", said("Nothing of the kind")])
async def test_an_api_that_a_server_does_not_have_is_asked_a_few_times(status: int, body: bytes) -> None:
    assert len(await asked(always(status, body))) == MOST_LOST


@pytest.mark.parametrize("words", ["Endpoint not found.", "The API is not enabled for you", "No permission"])
@pytest.mark.parametrize("status", [200, 400, 500])
async def test_so_is_one_that_is_denied_in_words(status: int, words: str) -> None:
    assert len(await asked(always(status, said(words)))) <= MOST_LOST


@pytest.mark.parametrize("body", [PAGE, b""])
async def test_what_may_be_a_mishap_is_repeated_before_that_is_believed(body: bytes) -> None:
    assert len(await asked(always(200, body))) == MOST_LOST * READ_TRIES


async def test_once_it_has_answered_as_many_ask_at_once_as_want_to() -> None:
    seen = await asked(always(200, LEADS))
    assert (len(seen), max(seen[:MOST_LOST]), max(seen) > AT_ONCE / 2) == (AT_ONCE + 1, MOST_LOST, True)


async def test_what_is_refused_for_what_was_asked_is_asked_of_all_others() -> None:
    assert len(await asked(always(500, said("No such lead")))) == AT_ONCE + 1
