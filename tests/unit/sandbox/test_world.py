"""The sandbox's people: the same for the same seed, so that sheets can be made for them."""

from __future__ import annotations

import re
import uuid

from batch_share.sandbox import World


def test_the_same_seed_makes_the_same_world() -> None:
    assert World(seed=7, leads=50, users=5).leads == World(seed=7, leads=50, users=5).leads


def test_another_seed_makes_other_people() -> None:
    ids = {lead.id for lead in World(seed=1, leads=50).leads}
    assert ids.isdisjoint(lead.id for lead in World(seed=2, leads=50).leads)


def test_the_first_lead_never_changes() -> None:
    """Sample sheets are made from it: a change here would orphan them."""
    lead = World(seed=1, leads=1).leads[0]
    assert (lead.id, lead.number) == ("ab5b2b89-225a-56a3-9ab2-16b4303c73f7", 869000)


def test_a_smaller_world_is_the_beginning_of_a_larger_one() -> None:
    assert World(leads=10).leads == World(leads=100).leads[:10]
    assert World(users=3).users == World(users=30).users[:3]


def test_nobody_shares_an_id_a_number_an_email_or_a_phone() -> None:
    world = World()
    for name in ("id", "number", "email", "phone"):
        assert len({getattr(lead, name) for lead in world.leads}) == 2000
    assert len({user.email for user in world.users}) == len({user.id for user in world.users}) == 20


def test_people_look_as_leadsquared_shows_them() -> None:
    lead = World(leads=1).leads[0]
    assert str(uuid.UUID(lead.id)) == lead.id
    assert re.fullmatch(r"\+91-98\d{8}", lead.phone)
    assert lead.email.endswith("@example.com")


def test_the_first_user_is_the_administrator_and_a_couple_are_inactive() -> None:
    users = World().users
    assert [user.role for user in users].count("Administrator") == 1
    assert users[0].role == "Administrator"
    assert [position for position, user in enumerate(users) if not user.active] == [9, 19]


def test_people_are_found_by_what_the_api_asks_for() -> None:
    world = World(leads=5, users=5)
    lead, user = world.leads[3], world.users[2]
    assert world.lead(lead.id.upper()) == lead
    assert world.numbers.get("869003") == lead
    assert world.user(user.id) == world.user_with_email(f" {user.email.upper()} ") == user
    assert world.numbers.get("0869003") is None
