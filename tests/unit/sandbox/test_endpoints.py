"""The names of the APIs, and accounts that have not all of them."""

from __future__ import annotations

import pytest
from asking import ManualClock, ask

from batch_share.sandbox import Sandbox, SandboxOptions
from batch_share.sandbox.endpoints import HANDLERS, NAMES, paths_of

THE_WORK = {
    "ProspectActivity.svc/Create",
    "EntityAccess.svc/Share",
    "EntityAccess.svc/Revoke",
    "EntityAccess.svc/Status/Get",
}


async def absent(*names: str) -> set[str]:
    """The APIs that an account without these does not have."""
    sandbox = Sandbox(SandboxOptions(without=names, leads=1, bulk_rate=None), ManualClock())
    found = set()
    for method, path in HANDLERS:
        reply = await ask(sandbox, method, path)
        assert (sandbox.journal.calls[-1].outcome == "unknown path") is (reply.status == 404)
        assert (reply.body == b"No such API.") is (reply.status == 404)
        if reply.status == 404:
            found.add(path)
    return found


@pytest.mark.parametrize("name", NAMES)
async def test_any_api_can_be_missing(name: str) -> None:
    assert await absent(name) == NAMES[name]


async def test_helpers_are_all_but_the_work_itself() -> None:
    assert await absent("helpers") == {path for _, path in HANDLERS} - THE_WORK


async def test_several_can_be_missing_and_none() -> None:
    assert await absent(" users.get", "Leads") == NAMES["Users.Get"] | NAMES["Leads"]
    assert await absent() == set()


def test_an_unknown_name_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"there is no endpoint 'nowhere': choose Status, .*, helpers$"):
        SandboxOptions(without=("Users.Get", "nowhere"))
    with pytest.raises(ValueError, match="there is no endpoint ''"):
        paths_of("")
