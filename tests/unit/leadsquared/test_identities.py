"""Which account a key is of: told once, known offline from then on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from batch_share.common import Rate
from batch_share.leadsquared.account import Account, account_name, accounts_of_keys, remember_account

if TYPE_CHECKING:
    from pathlib import Path

HOST = "https://api.example.com"
ONE, OTHER = (account_name(HOST, SecretStr(key)) for key in ("key-one", "key-other"))
ACCOUNT = account_name("org", HOST, "12345")


def name_of(folder: Path, key: str) -> str:
    """What a key\'s account is known by."""
    return accounts_of_keys(folder).get(key, key)


def test_a_key_is_its_own_account_until_told(tmp_path: Path) -> None:
    assert name_of(tmp_path, ONE) == ONE


def test_two_keys_of_one_account_are_one(tmp_path: Path) -> None:
    for key in (ONE, OTHER):
        remember_account(tmp_path / "new", key, ACCOUNT)
    assert {name_of(tmp_path / "new", key) for key in (ONE, OTHER)} == {ACCOUNT}


def test_an_account_is_of_one_host() -> None:
    assert account_name("org", "https://other.example.com", "12345") != ACCOUNT


def test_the_file_is_private_and_holds_neither_key_nor_org_id(tmp_path: Path) -> None:
    remember_account(tmp_path, ONE, ACCOUNT)
    file = tmp_path / "identities"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "key-one" not in file.read_text()
    assert "12345" not in file.read_text()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", json.dumps({ONE: "../elsewhere"}), json.dumps({ONE: 1})])
def test_what_is_damaged_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "identities").write_text(text)
    assert name_of(tmp_path, ONE) == ONE
    remember_account(tmp_path, ONE, ACCOUNT)
    assert name_of(tmp_path, ONE) == ACCOUNT


def test_two_memories_joined_are_the_more_cautious_of_both() -> None:
    one = Account(9, True, 5.0, Rate(25, 5.0), "2026-01-02", 7, Rate(1, 5.0), 0, False, 3.0)
    other = Account(8, False, 9.0, Rate(10, 5.0), "2026-01-02", 5, None, 20, True, 4.0)
    both = Account(0, False, 9.0, Rate(10, 5.0), "2026-01-02", 12, Rate(1, 5.0), 20, True, 4.0)
    assert (one.joined(other), other.joined(one)) == (both, both)


def test_calls_of_an_earlier_day_are_over() -> None:
    assert Account(day="2026-01-01", calls=7).joined(Account(day="2026-01-02", calls=5)).calls == 5


def test_what_only_one_knows_is_known_of_both() -> None:
    known = Account(rate=Rate(10, 5.0), closed=True, share_batch=3)
    assert Account(closed=True).joined(known) == known
