"""Guards: a run that is too large sends nothing, one in which row after row fails stops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from trial import CREATE, Fault, envelope, trial

from batch_share.errors import TooManyFailures, TooManyForUser, TooManyRows

if TYPE_CHECKING:
    from pathlib import Path

REFUSED = envelope(400, "no such field")


async def test_a_run_that_is_too_large_sends_nothing(tmp_path: Path) -> None:
    async with trial(tmp_path) as made:
        assert isinstance((await made.run(max_rows=11)).error, TooManyRows)
        ending = await made.run(max_per_user=2)
        assert isinstance(ending.error, TooManyForUser)
        assert sorted(ending.error.users.values()) == [3, 3]
        assert made.sent(CREATE) == []
        assert (await made.resume(max_rows=12, max_per_user=3)).error is None


@pytest.mark.parametrize("bulk", [False, True])
async def test_row_after_row_that_fails_stops_the_run_and_resume_goes_on(tmp_path: Path, bulk: bool) -> None:
    fault = Fault(CREATE, range(2, 100), REFUSED)
    async with trial(tmp_path, fault, rows=40) as made:
        changes: dict[str, Any] = {"stop_after_failures": 5, "workers": 2, "follow_up": False}
        ending = await made.run(**changes)
        assert isinstance(ending.error, TooManyFailures)
        assert ending.exit_code == 1
        failed = made.query("SELECT count(*) FROM rows WHERE state = 'failed'")[0][0]
        assert 5 <= failed <= 7
        fault.numbers = ()
        after = await made.resume(bulk=bulk, **changes)
        assert after.error is None
        assert made.query("SELECT count(*) FROM rows WHERE state = 'failed'") == [(failed,)]
