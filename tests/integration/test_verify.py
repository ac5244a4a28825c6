"""What `verify` finds out about an account, told by the sandbox and its switches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from trial import Onlooker, trial

from batch_share.jobs.verify import Verification

if TYPE_CHECKING:
    from pathlib import Path

    from trial import Trial

    from batch_share.jobs.verify import Verified


async def verified(it: Trial, **changes: Any) -> Verified:
    """Verify on the sandbox's tenth lead and third user."""
    lead, user = it.sandbox.world.leads[9], it.sandbox.world.users[2]
    settings = it.settings(event="201", wait=30.0, **changes)
    return await Verification(settings, Onlooker(), lead.id, user.email).carry_out()


def seen(found: Verified) -> dict[str, str]:
    """What was seen, by question."""
    return {each.question: each.seen for each in found.answers}


async def test_against_the_sandbox_all_is_as_documented_or_guessed(tmp_path: Path) -> None:
    async with trial(tmp_path) as it:
        found = await verified(it)
        for each in found.answers:
            print(each)
        assert found.error is None
        assert found.standing == 0
        assert it.live() == 0
