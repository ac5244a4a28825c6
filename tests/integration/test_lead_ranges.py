"""Leads by number where IN does not work: whole ranges in few calls, and never a word that can't be believed."""

from __future__ import annotations

import csv
import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from trial import Fault, Onlooker, Trial, answer, options
from virtual_time import run_virtually
from virtual_trial import in_virtual_time

from batch_share.common import Rate
from batch_share.ledger.states import State
from batch_share.planning import directory
from batch_share.planning.intake import show_sheet
from batch_share.planning.plan import SheetOptions
from batch_share.results.wording import spell_by_number
from batch_share.sandbox.sheets import active_users
from batch_share.sending.calls import READ_TRIES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from trial import Step, Wrapper

    from batch_share.planning.overview import Overview
    from batch_share.sandbox.wire import Reply, SandboxCall

CRITERIA = "LeadManagement.svc/Leads.Get"


class Asking:
    """A sheet of lead numbers, against an account that refuses IN, in virtual time."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, *faults: Wrapper, **changes: Any) -> None:
        known = options(**{"refuse_in": True, "rate": Rate(25, 5), "latency": 0.15} | changes)
        self.it: Trial = in_virtual_time(folder, patch, known, *faults, rows=1)
        self.world = self.it.sandbox.world
        self.seconds = 0.0

    def plan(self, numbers: Iterable[object], *, asks: bool = True) -> Overview:
        """A plan of a sheet in which each of these leads is shared with the same user."""
        user = active_users(self.world)[0].id
        with (self.it.folder / "leads.csv").open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([("Lead Number", "User Id"), *((number, user) for number in numbers)])

        async def timed() -> Overview:
            clock = self.it.sandbox.clock
            began = clock.time()
            seen = await show_sheet(
                self.it.folder / "leads.csv",
                SheetOptions(),
                self.it.settings(rate=Rate(25, 5), event="201", duration="7d", keep_answers=0),
                Onlooker() if asks else None,
            )
            self.seconds = clock.time() - began
            return seen

        return run_virtually(timed())

    def asked(self) -> list[dict[str, Any]]:
        """What was asked for by number, in order."""
        return [
            json.loads(call.body)["Parameter"]
            for call in self.it.sandbox.journal.calls
            if call.endpoint == CRITERIA
        ]

    def signs(self) -> dict[str, int]:
        """How many calls there were, by operator."""
        signs = [asked["SqlOperator"] for asked in self.asked()]
        return {sign: signs.count(sign) for sign in dict.fromkeys(signs)}

    def leads(self, seen: Overview) -> dict[int, str]:
        """Which lead each number of the plan means."""
        rows = [row.instruction for row in seen.planned()]
        return {int(each.lead_number): each.lead_id for each in rows if each is not None}

    def right(self, numbers: Iterable[int]) -> dict[int, str]:
        """Which lead each of these numbers means that is there."""
        return {number: lead.id for number in numbers if (lead := self.world.numbers.get(str(number)))}


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes an Asking with an account like this."""
    return lambda *faults, **changes: Asking(tmp_path, monkeypatch, *faults, **changes)


# ------------------------------------------------------------------------------------------------- how many calls

FIRST = 869_000


@pytest.mark.parametrize(
    ("wanted", "span", "most"),
    [(10, 30, 4), (500, 2_000, 6), (5_000, 20_000, 24), (5_000, 5_000, 9)],
    ids=["10", "500", "5,000", "5,000 without a gap"],
)
def test_numbers_that_are_near_each_other_take_a_call_for_each_thousand(
    asking: Any, wanted: int, span: int, most: int
) -> None:
    """In the order in which a sheet may have them: any."""
    account = asking(leads=span)
    numbers = random.Random(wanted).sample(range(FIRST, FIRST + span), wanted)
    foreseen = account.plan(numbers, asks=False)
    assert foreseen.by_number.in_ranges <= most
    seen = account.plan(numbers)
    assert seen.states == {State.PENDING: wanted}
    assert account.leads(seen) == account.right(numbers)
    made = sum(account.signs().values())
    assert made <= foreseen.by_number.in_ranges
    assert account.signs()["="] <= 2
    assert foreseen.look_ups[0] <= made + 2 <= foreseen.look_ups[1]
    assert account.seconds < 6


@pytest.mark.parametrize(("wanted", "step"), [(10, 1000), (500, 1500)])
def test_numbers_that_are_far_apart_are_asked_for_alone_without_a_try(asking: Any, wanted: int, step: int) -> None:
    account = asking(leads=wanted, number_step=step)
    numbers = [lead.number for lead in account.world.leads]
    foreseen = account.plan(numbers, asks=False)
    assert foreseen.by_number.in_ranges == wanted
    seen = account.plan(numbers)
    assert seen.states == {State.PENDING: wanted}
    assert account.signs() == {"=": wanted, "IN": 1}
    assert foreseen.look_ups[1] >= wanted + 1 + 2


def test_where_some_are_near_each_other_only_those_are_asked_for_by_ranges(asking: Any) -> None:
    account = asking(leads=300, number_step=700)
    far = [lead.number for lead in account.world.leads[::2]]
    near = [number for lead in account.world.leads[100:110] for number in (lead.number,)]
    numbers = sorted({*far, *near})
    seen = account.plan(numbers)
    assert account.leads(seen) == account.right(numbers)
    assert sum(account.signs().values()) <= len(numbers)


def test_a_range_has_numbers_of_one_length_and_never_more_than_a_page_of_them() -> None:
    numbers = [*range(7, 3_000, 2), 99_999, 100_000, 101_001]
    ranges = [*directory.ranges_of(numbers)]
    assert [each for some in ranges for each in some] == numbers
    assert all(some[-1] - some[0] < 1000 and len({len(str(each)) for each in some}) == 1 for some in ranges)
    assert [(some[0], some[-1]) for some in ranges] == [
        (7, 9), (11, 99), (101, 999), (1001, 1999), (2001, 2999), (99_999, 99_999), (100_000, 100_000),
        (101_001, 101_001),
    ]  # fmt: skip


def test_an_account_that_shows_two_hundred_leads_at_most_is_asked_for_the_others(asking: Any) -> None:
    account = asking(leads=3_000, lead_page=200)
    numbers = [lead.number for lead in account.world.leads]
    seen = account.plan(numbers)
    assert account.leads(seen) == account.right(numbers)
    assert sum(account.signs().values()) <= 3 + 15 + 3


def test_slow_lists_are_waited_for(asking: Any) -> None:
    account = asking(leads=2_000, latency=20.0)
    numbers = [lead.number for lead in account.world.leads]
    seen = account.plan(numbers)
    assert account.leads(seen) == account.right(numbers)
    assert sum(account.signs().values()) <= 6


# --------------------------------------------------------------------------------------- who is not there, truly


def no_lead(seen: Overview) -> set[int]:
    """The numbers of which the plan says that no lead has them."""
    wrong = [each for each in seen.problems if each.text == "no lead has this number"]
    assert len(wrong) == len(seen.problems)
    return {int(each.value) for each in wrong}


def test_of_many_that_were_deleted_some_are_asked_for_alone_and_the_others_believed(asking: Any) -> None:
    account = asking(leads=1_500, number_step=2)
    numbers = range(FIRST, FIRST + 3_000)
    seen = account.plan(numbers)
    assert account.leads(seen) == account.right(numbers)
    assert no_lead(seen) == {*range(FIRST + 1, FIRST + 3_000, 2)}
    assert account.signs()["="] < 1_500 // directory.CHECKED + 5


def test_a_few_that_are_not_there_are_each_asked_for_alone(asking: Any) -> None:
    account = asking(leads=100)
    numbers = [*range(FIRST, FIRST + 100, 3), FIRST + 100, FIRST + 101]
    assert no_lead(account.plan(numbers)) == {FIRST + 100, FIRST + 101}
    assert {asked["LookupValue"] for asked in account.asked() if asked["SqlOperator"] == "="} >= {
        str(FIRST + 100),
        str(FIRST + 101),
    }


@pytest.mark.parametrize("value", ["0869005", "99999999999999999999", "0"])
def test_a_number_that_no_server_writes_is_asked_for_alone(asking: Any, value: str) -> None:
    account = asking(leads=100)
    seen = account.plan([*range(FIRST, FIRST + 50), value])
    assert seen.states == {State.PENDING: 50, State.INVALID: 1}
    assert account.signs()[">="] < 3


# ------------------------------------------------------------------------------------------ what can't be believed


@pytest.mark.parametrize("lists", ["refused", "unsorted", "repeating", "skipping"])
def test_lists_that_are_wrong_are_given_up_and_nobody_is_mistaken(asking: Any, lists: str) -> None:
    account = asking(leads=600, lead_lists=lists)
    numbers = range(FIRST, FIRST + 600, 3)
    seen = account.plan(numbers)
    assert seen.states == {State.PENDING: 200}
    assert account.leads(seen) == account.right(numbers)
    assert account.signs()[">="] <= 4
    assert sum(account.signs().values()) <= 200 + 3 + 4


@pytest.mark.parametrize("first", [9_700, 99_990, 1])
def test_numbers_that_are_compared_as_text_are_noticed_or_make_no_difference(asking: Any, first: int) -> None:
    account = asking(leads=2_000, first_number=first, lead_lists="as-text")
    numbers = [lead.number for lead in account.world.leads[:600]]
    seen = account.plan([*numbers, first + 2_000])
    assert account.leads(seen) == account.right(numbers)
    assert no_lead(seen) == {first + 2_000}


class Odd:
    """Answers a list of leads by number with what `change` makes of it."""

    def __init__(self, change: Any) -> None:
        self.change = change

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        reply = await step(call)
        if call.endpoint != CRITERIA or (asked := json.loads(call.body)["Parameter"])["SqlOperator"] != ">=":
            return reply
        leads = json.loads(reply.body)
        if self.change is None:  # >= is taken for =
            leads = [lead for lead in leads if lead["ProspectAutoId"] == asked["LookupValue"]]
        return answer(200, json.dumps(self.change(leads) if self.change else leads))


def _swapped(leads: list[dict[str, str]]) -> list[dict[str, str]]:
    """Each with the Id of another."""
    ids = [lead["ProspectID"] for lead in leads]
    return [lead | {"ProspectID": other} for lead, other in zip(leads, ids[1:] + ids[:1], strict=True)]


@pytest.mark.parametrize(
    "change",
    [
        _swapped,
        lambda leads: [lead | {"ProspectID": leads[0]["ProspectID"]} for lead in leads],
        lambda leads: [lead | {"ProspectID": ""} for lead in leads],
        lambda leads: [lead | {"ProspectAutoId": "9" * 5_000} for lead in leads],
        lambda leads: leads[::-1],
        lambda leads: leads[1::2],
        None,
        lambda leads: [*leads[:20], leads[21], leads[20], *leads[22:]],
        lambda leads: [],
        lambda leads: [{"ProspectID": "x", "ProspectAutoId": "7"}, *leads],
        lambda leads: {"Leads": 7},
    ],
    ids=[
        "others' Ids",
        "one Id",
        "no Id",
        "too long",
        "backwards",
        "half",
        "like =",
        "two",
        "none",
        "before",
        "strange",
    ],
)
def test_an_answer_that_can_not_be_right_is_not_believed(asking: Any, change: Any) -> None:
    account = asking(Odd(change), leads=300)
    numbers = [*range(FIRST, FIRST + 60), FIRST + 300]
    seen = account.plan(numbers)
    assert account.leads(seen) == account.right(numbers)
    assert no_lead(seen) == {FIRST + 300}
    assert account.signs()[">="] <= READ_TRIES, "it is given up at once"


def test_an_operator_that_means_greater_alone_makes_no_difference(asking: Any) -> None:
    """The first of each range is missing then, which is asked for alone before anything is believed."""
    account = asking(Odd(lambda leads: leads[1:]), leads=5_000)
    numbers = range(FIRST, FIRST + 5_000, 4)
    seen = account.plan(numbers)
    assert account.leads(seen) == account.right(numbers)


def test_a_list_that_becomes_wrong_later_takes_back_what_was_said_to_be_missing(asking: Any) -> None:
    """Nobody is there from 869400 on, says one answer, and another one shows whom from 870400 on."""
    account = asking(Fault(CRITERIA, [4], answer(200, "[]")), leads=900, number_step=2, lead_page=200)
    numbers = range(FIRST, FIRST + 1_800)
    seen = account.plan(numbers)
    assert account.leads(seen) == account.right(numbers)
    assert no_lead(seen) == {*range(FIRST + 1, FIRST + 1_800, 2)}
    assert account.signs()["="] > 900, "each is asked for"


def test_what_one_stretch_found_out_the_next_ones_know(asking: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "STRETCH", 500)
    account = asking(leads=2_000)
    numbers = range(FIRST, FIRST + 2_000)
    seen = account.plan(numbers)
    assert account.leads(seen) == account.right(numbers)
    assert account.signs() == {"=": 1, "IN": 1, ">=": 4}


# --------------------------------------------------------------------------------------------- what a plan says


def test_a_plan_says_in_which_ways_and_at_what_cost(asking: Any) -> None:
    account = asking(leads=100)
    near = account.plan(range(FIRST, FIRST + 5_000), asks=False)
    assert near.look_ups == (10, 5_005)
    assert spell_by_number(*near.by_number) == (
        "The 5,000 lead numbers take 52 calls where LeadSquared finds many at once, 8 where it lists leads in the "
        "order of their numbers, else one each"
    )
    far = account.plan(range(FIRST, FIRST + 1_000_000, 1_000), asks=False)
    assert spell_by_number(*far.by_number) == (
        "The 1,000 lead numbers take 12 calls where LeadSquared finds many at once, else one each, as too few are "
        "close to each other to be read from a list"
    )
    few = account.plan(range(FIRST, FIRST + 25), asks=False)
    assert spell_by_number(*few.by_number) == ""
