"""How many shares go in a call: what is asked for, what was learnt, and what a refusal teaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch_share.leadsquared.account import Account, AccountMemory
from batch_share.sending.onlookers import MOST_SHARES
from batch_share.sending.session import ShareBatch
from batch_share.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def in_bulk(setting: int | None, *, bulk: bool = True) -> Settings:
    """Settings with so many shares in a call."""
    return Settings.model_construct(share_batch=setting, bulk=bulk)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An account's file."""
    return tmp_path / "name.account"


@pytest.fixture
def memory(file: Path) -> Iterator[AccountMemory]:
    """The memory of an account of which nothing is known."""
    with AccountMemory(file) as known:
        yield known


@pytest.mark.parametrize(
    ("setting", "learnt", "most"), [(None, 0, MOST_SHARES), (None, 4, 4), (10, 0, 10), (10, 4, 10), (2, 4, 2)]
)
def test_the_setting_counts_then_what_was_learnt(
    memory: AccountMemory, setting: int | None, learnt: int, most: int
) -> None:
    if learnt:
        memory.keep(share_batch=learnt)
    assert ShareBatch(in_bulk(setting), memory).most == most


@pytest.mark.parametrize(
    ("setting", "learnt", "takes_arrays", "most"),
    [(None, 0, False, 1), (4, 10, False, 1), (None, 0, True, 25), (None, 10, True, 10), (4, 0, True, 4)],
)
def test_one_by_one_several_go_in_a_call_where_the_account_is_known_to_take_them(
    memory: AccountMemory, setting: int | None, learnt: int, takes_arrays: bool, most: int
) -> None:
    memory.keep(share_batch=learnt, takes_arrays=takes_arrays)
    assert ShareBatch(in_bulk(setting, bulk=False), memory).most == most


@pytest.mark.parametrize("setting", [None, 10])
def test_where_a_share_can_not_be_repeated_each_goes_in_a_call_of_its_own(
    memory: AccountMemory, setting: int | None
) -> None:
    memory.keep(repeats_harm=True, takes_arrays=True)
    assert ShareBatch(in_bulk(setting), memory).most == 1


@pytest.mark.parametrize(("accepted", "known"), [((3, 25), 0), ((4,), 4), ((3, 7, 5), 7), ((1,), 4)])
def test_more_than_was_learnt_is_learnt_when_it_is_accepted(
    memory: AccountMemory, file: Path, accepted: tuple[int, ...], known: int
) -> None:
    if known:
        memory.keep(share_batch=4)
    sizes = ShareBatch(in_bulk(25), memory)
    for size in accepted:
        sizes.accepted(size)
    assert (sizes.most, Account.read(file).share_batch) == (25, known)


@pytest.mark.parametrize(
    ("accepted", "refused", "most"),
    [
        ((), (25, 13), 13),
        ((), (2, 1), 1),
        ((13,), (25, 13), 13),
        ((20,), (25, 13), 20),
        ((25,), (25, 13), 25),
        ((24,), (3, 2), 25),
    ],
)
def test_a_size_is_to_blame_when_its_rows_were_accepted_in_smaller_calls_and_it_never_was(
    memory: AccountMemory, file: Path, accepted: tuple[int, ...], refused: tuple[int, int], most: int
) -> None:
    sizes = ShareBatch(in_bulk(None), memory)
    for size in accepted:
        sizes.accepted(size)
    sizes.refused(*refused)
    assert (sizes.most, Account.read(file).share_batch) == (most, most if most < 25 else 0)


def test_a_larger_part_that_was_refused_later_teaches_nothing_more(memory: AccountMemory) -> None:
    sizes = ShareBatch(in_bulk(None), memory)
    sizes.refused(13, 7)
    sizes.refused(25, 13)
    assert sizes.most == 7
