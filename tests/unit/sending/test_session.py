"""The way in which work ends early."""

from __future__ import annotations

from batch_share.sending.session import Stop


async def test_what_is_to_be_closed_when_the_work_has_already_ended_is_closed_at_once() -> None:
    stop, closed = Stop(), list[str]()
    stop.also(lambda: closed.append("before"))
    assert closed == []
    stop.ask()
    stop.also(lambda: closed.append("after"))
    assert closed == ["before", "after"]
