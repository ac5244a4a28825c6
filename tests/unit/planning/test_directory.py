"""Who is meant: only the one that was asked for, and only if everything said of them agrees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from batch_share.common import Action
from batch_share.leadsquared.people import FoundLead, FoundUser
from batch_share.ledger.records import Instruction
from batch_share.planning.directory import Directory, answer_for, is_meant
from batch_share.sheet.columns import Field
from batch_share.sheet.rows import Problem, Ref, ShareRow
from batch_share.sheet.table import RawRow

LEAD = FoundLead("lead-id", "7", "Asha@Example.com", "+91-9810000019")
OTHER = FoundLead("other-id", "8", "b@example.com", "")
USER = FoundUser("user-id", "u@example.com", "Asha Rao", active=True)

BY_ID, BY_NUMBER = Ref(Field.LEAD_ID, "lead-id"), Ref(Field.LEAD_NUMBER, "7")
BY_EMAIL, BY_PHONE = Ref(Field.LEAD_EMAIL, "asha@example.com"), Ref(Field.LEAD_PHONE, "9810000019")
THE_USER = Ref(Field.USER_EMAIL, "u@example.com")


def asks(*leads: Ref, users: tuple[Ref, ...] = (THE_USER,), **changes: Any) -> ShareRow:
    values = {"access": 1, "duration": 60, "until": None, "event": 201, "note": "Note"}
    return ShareRow(leads, users, **values | changes)


def resolved(row: ShareRow, *leads: FoundLead) -> Instruction | list[Problem]:
    directory = Directory()
    directory.learn([answer_for(row.leads[0], leads), answer_for(row.users[0], [USER])])
    return directory.resolve(row, RawRow(2, []), str)


@pytest.mark.parametrize("ref", [BY_ID, BY_NUMBER, BY_EMAIL, BY_PHONE])
def test_a_lead_is_found_by_whatever_the_row_says(ref: Ref) -> None:
    asked = resolved(asks(ref), OTHER, LEAD)
    assert isinstance(asked, Instruction)
    assert (asked.lead_id, asked.lead_number, asked.user_id) == ("lead-id", "7", "user-id")


@pytest.mark.parametrize("ref", [BY_ID, BY_NUMBER, BY_EMAIL, BY_PHONE])
def test_whoever_else_comes_back_is_not_taken(ref: Ref) -> None:
    (problem,) = problems_of(resolved(asks(ref), OTHER))
    assert "no lead has this" in problem.text


def problems_of(found: Instruction | list[Problem]) -> list[Problem]:
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    ("second", "agrees"),
    [
        (BY_NUMBER, True),
        (BY_EMAIL, True),
        (BY_PHONE, True),
        (Ref(Field.LEAD_NUMBER, "8"), False),
        (Ref(Field.LEAD_EMAIL, "b@example.com"), False),
        (Ref(Field.LEAD_PHONE, "9810000020"), False),
    ],
)
def test_everything_that_is_said_of_a_lead_must_agree(second: Ref, agrees: bool) -> None:
    found = resolved(asks(BY_ID, second), LEAD)
    assert isinstance(found, Instruction) == agrees
    if not agrees:
        (problem,) = problems_of(found)
        assert (problem.column, problem.value) == (second.field, second.value)
        assert problem.text.startswith("is not that of Lead Id 'lead-id', which has")


def test_what_leadsquared_does_not_know_contradicts_nothing() -> None:
    row = asks(Ref(Field.LEAD_ID, "other-id"), Ref(Field.LEAD_PHONE, "9810000020"))
    assert isinstance(resolved(row, OTHER), Instruction)


def test_an_id_and_an_address_of_two_users_are_reported() -> None:
    users = (Ref(Field.USER_ID, "user-id"), Ref(Field.USER_EMAIL, "x@example.com"))
    (problem,) = problems_of(resolved(asks(BY_ID, users=users), LEAD))
    assert problem.text == "is not that of User Id 'user-id', which has 'u@example.com'"


def test_a_lead_without_a_number_can_not_be_shared() -> None:
    assert "no lead has this" in problems_of(resolved(asks(BY_ID), FoundLead("lead-id", "", "", "")))[0].text


def test_the_lead_and_the_user_are_both_reported_at_once() -> None:
    directory = Directory()
    found = directory.resolve(asks(BY_ID), RawRow(2, []), str)
    assert [problem.column for problem in problems_of(found)] == ["Lead Id", "User Email"]


def test_a_later_answer_takes_the_place_of_an_earlier() -> None:
    lost, moved = [FoundLead("lead-id", "9", "", "")], [FoundUser("new-id", "u@example.com", "New", active=True)]
    directory, row = Directory(), asks(BY_ID)
    for leads, users, expected in (
        ([LEAD], [USER], ("7", "user-id")),
        ([], [], [BY_ID, THE_USER]),
        (lost, moved, ("9", "new-id")),
    ):
        directory.learn([answer_for(BY_ID, leads), answer_for(THE_USER, users)])
        found = directory.resolve(row, RawRow(2, []), str)
        seen = (found.lead_number, found.user_id) if isinstance(found, Instruction) else [*directory._nobody]
        assert seen == expected
        assert directory.is_found(BY_ID) == directory.is_found(THE_USER) == bool(leads)
        assert [*directory._nobody] == ([] if leads else [BY_ID, THE_USER])
    assert [*directory._nobody] == []


@pytest.mark.parametrize(
    ("users", "problem"),
    [
        ([], "not an active user of the account"),
        (
            [FoundUser("a", "u@example.com", "Asha", active=False)],
            "Asha is no longer an active user of the account",
        ),
        ([USER, FoundUser("b", "U@example.com", "B", active=True)], "found 2 times: use the Id instead"),
        ([FoundUser("a", "u@example.com", "Old", active=False), USER], None),
        ([USER, USER], None),
    ],
)
def test_a_user_is_one_active_user_or_nobody(users: list[FoundUser], problem: str | None) -> None:
    answer = answer_for(THE_USER, users)
    assert answer.problem == problem
    assert (answer.found is None) == (problem is not None)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("+91-9810000019", "9810000019", True),
        ("09810000019", "+91 98100 00019", True),
        ("9810000019", "9810000018", False),
        ("19", "9810000019", False),
        ("10000019", "+91-9810000019", False),
    ],
)
def test_phone_numbers_are_compared_by_their_digits(one: str, other: str, same: bool) -> None:
    assert is_meant(Ref(Field.LEAD_PHONE, one), replace(LEAD, phone=other)) is same


def test_whoever_is_no_longer_a_user_can_lose_what_it_has_by_its_id() -> None:
    gone = FoundUser("gone-id", "g@example.com", "Gone", active=False)
    directory = Directory()
    refs = Ref(Field.USER_ID, "gone-id"), Ref(Field.USER_EMAIL, "g@example.com")
    directory.learn([answer_for(BY_ID, [LEAD]), *(answer_for(ref, [gone]) for ref in refs)])

    def asked(ref: Ref, action: Action) -> Instruction | list[Problem]:
        return directory.resolve(asks(BY_ID, users=(ref,), action=action), RawRow(2, []), str)

    by_id = asked(refs[0], Action.REVOKE)
    assert isinstance(by_id, Instruction)
    assert (by_id.user_id, by_id.action) == ("gone-id", Action.REVOKE)
    (problem,) = problems_of(asked(refs[1], Action.REVOKE))
    assert problem.text.endswith("what it has can be revoked by its User Id")
    (problem,) = problems_of(asked(refs[0], Action.REASSIGN))
    assert problem.text == "Gone is no longer an active user of the account"


@pytest.mark.parametrize(
    ("refs", "user_id"),
    [
        ((THE_USER,), "user-id"),
        ((Ref(Field.USER_ID, "user-id"), THE_USER), "user-id"),
        ((Ref(Field.USER_ID, "user-id"), Ref(Field.USER_ID, "user-id")), "user-id"),
        ((Ref(Field.USER_ID, "user-id"), Ref(Field.USER_ID, "other-id")), None),
        ((Ref(Field.USER_ID, "user-id"), Ref(Field.USER_EMAIL, "other@example.com")), None),
        ((Ref(Field.USER_EMAIL, "nobody@example.com"),), None),
        ((Ref(Field.USER_EMAIL, "never@asked.example"),), None),
        ((), None),
    ],
)
def test_whose_row_it_is_may_be_known_though_it_cannot_be_sent(refs: tuple[Ref, ...], user_id: str | None) -> None:
    directory, nobody = Directory(), Ref(Field.USER_EMAIL, "nobody@example.com")
    asked = THE_USER, Ref(Field.USER_ID, "user-id"), nobody
    directory.learn([answer_for(ref, [USER]) for ref in asked])
    assert directory.user_of(refs) == user_id
