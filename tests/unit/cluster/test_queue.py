"""The queue: who gets a job, and who does not; how it ends; and when schedules make one."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from queues import emptied
from sqlalchemy import text

from batch_share.cli.cluster import _moment
from batch_share.cluster.queue import (
    FOLLOW_UP_AFTER,
    FOLLOW_UP_EVERY,
    FOLLOWED_UP_FOR,
    LEAST_REST,
    JobEnd,
    Post,
    Queue,
    Wanted,
    next_time,
)
from batch_share.errors import BatchShareError, LedgerTooNew, SettingsError, StoreTrouble
from batch_share.ledger import schema
from batch_share.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batch_share.ledger.postgres import Store

SHEET = ("leads.csv", b"Lead Id\n1\n")
BERLIN = "Europe/Berlin"


@pytest.fixture
def queue(store: Store) -> Queue:
    return emptied(store)


@pytest.fixture
def post(store: Store) -> Iterator[Callable[[], Post]]:
    made: list[Post] = []

    def begin() -> Post:
        made.append(Post(store, "here:1"))
        return made[-1]

    yield begin
    for each in made:
        each.close()


def wanted(ledger: str = "spring", account: str = "europe", **more: object) -> Wanted:
    return Wanted(ledger, account, "asha", sheet=SHEET, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("at", "due"), [("07:00", "2026-06-02 05:00"), ("13:00", "2026-06-01 11:00")])
def test_the_time_of_day_at_which_a_job_begins_comes_next_by_the_stores_clock(at: str, due: str) -> None:
    """A host whose clock is days ahead would hand it over for days later."""
    store = Mock(clock=lambda: lambda: utc("2026-06-01 06:30").replace(tzinfo=None))
    assert _moment(at, Settings(timezone=BERLIN), Mock(store=store)) == utc(due)


def utc(words: str) -> dt.datetime:
    return dt.datetime.fromisoformat(words).replace(tzinfo=dt.UTC)


# --------------------------------------------------------------------------------------------------- who has it


def test_a_job_is_one_workers_and_an_account_has_one_at_a_time(queue: Queue, post: Callable[[], Post]) -> None:
    first, second = queue.submit(wanted()), queue.submit(wanted("autumn"))
    other = queue.submit(wanted("winter", "india"))
    one, two = post(), post()
    assert {job.id for job in one.look(["europe", "india"]).claimed} == {first.id, other.id}
    assert two.look(["europe", "india"]).claimed == []
    assert (queue.job(first.id).state, queue.job(first.id).host) == ("running", "here:1")
    one.look([], [JobEnd(first.id, "ended", 0)])
    assert [job.id for job in two.look(["europe", "india"]).claimed] == [second.id]
    assert queue.job(first.id).exit_code == 0
    assert queue.sheet(first) == SHEET


def test_what_a_dead_worker_had_is_anybodys_and_what_it_says_later_counts_no_more(
    queue: Queue, post: Callable[[], Post]
) -> None:
    job, waits = queue.submit(wanted()), queue.submit(wanted("autumn"))
    one, two = post(), post()
    one.look(["europe"])
    with queue.store.looking() as connection:  # as the server does with whoever is silent
        lock = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = {one.number}"
        connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM ({lock}) AS its"))
    with pytest.raises(StoreTrouble):
        one.look(["europe"], [JobEnd(job.id, "ended", 0)])
    assert [each.id for each in two.look(["europe"]).claimed] == [job.id], "before whatever waits"
    assert two.look(["europe"], [JobEnd(job.id, "ended", 3, "of rows")]).claimed[0].id == waits.id
    assert (queue.job(job.id).exit_code, queue.job(job.id).error) == (3, "of rows")


@pytest.mark.parametrize(
    "account", ["europe", "india", "africa", "https://127.0.0.1:9", "a", "b"]
)  # hashes of any sign
def test_whose_work_is_done_shows_as_long_as_a_worker_is_there(queue: Queue, account: str) -> None:
    assert not queue.has_worker(account)
    first, second = (Post(queue.store, "here:1", [account, "another"]) for _ in range(2))
    assert queue.has_worker(account)
    first.close()
    assert queue.has_worker(account)
    assert not queue.has_worker("third")
    second.close()
    assert not queue.has_worker(account)


def test_what_is_not_due_or_rests_or_is_anothers_account_is_left(queue: Queue, post: Callable[[], Post]) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    queue.submit(wanted(due=later))
    job = queue.submit(wanted("autumn"))
    one = post()
    assert one.look(["india"]).claimed == []
    assert [each.id for each in one.look(["europe"]).claimed] == [job.id]
    one.look(["europe"], [JobEnd(job.id, "running", error="its disk is full", rests=True)])
    assert one.look(["europe"]).claimed == [], "it rests"
    with queue.store.looking() as connection:
        rested = "SELECT rested, extract(epoch FROM rests_until - now()) FROM batch_share.jobs WHERE id = "
        seconds, left = connection.execute(text(f"{rested}{job.id}")).one()
        connection.execute(text("UPDATE batch_share.jobs SET rests_until = now()"))
    assert (seconds, 0 < left <= LEAST_REST) == (LEAST_REST, True)
    assert [each.id for each in one.look(["europe"]).claimed] == [job.id]
    one.look(["europe"], [JobEnd(job.id, "running", rests=True)])
    with queue.store.looking() as connection:
        assert connection.scalar(text(f"SELECT rested FROM batch_share.jobs WHERE id = {job.id}")) == 2 * LEAST_REST


def test_a_job_is_cancelled_before_it_begins_or_its_worker_is_told(queue: Queue, post: Callable[[], Post]) -> None:
    job = queue.submit(wanted())
    assert queue.cancel(job.id).state == "cancelled"
    one = post()
    assert one.look(["europe"]).claimed == []
    again = queue.submit(wanted())
    one.look(["europe"])
    assert (queue.cancel(again.id).state, queue.cancel(again.id).stop) == ("running", True)
    assert one.look(["europe"]).stop == {again.id}
    one.look(["europe"], [JobEnd(again.id, "cancelled", 130)])
    assert [each.state for each in queue.jobs()] == ["cancelled", "cancelled"]
    with pytest.raises(BatchShareError, match="no job 0"):
        queue.job(0)


def test_a_worker_of_another_version_takes_nothing_more(queue: Queue, post: Callable[[], Post]) -> None:
    one = post()
    with queue.store.looking() as connection:
        connection.execute(text("UPDATE batch_share.store SET version = version + 1"))
    try:
        queue_job = text("INSERT INTO batch_share.jobs (ledger, account, kind, options, submitted_by) VALUES ")
        with queue.store.looking() as connection:
            connection.execute(text(f"{queue_job}('spring', 'europe', 'run', '{{}}', 'asha')"))
        with pytest.raises(LedgerTooNew, match="Update batch_share"):
            one.look(["europe"])
        with pytest.raises(LedgerTooNew):
            Post(queue.store, "here:2")
    finally:
        with queue.store.looking() as connection:
            connection.execute(text(f"UPDATE batch_share.store SET version = {schema.VERSION}"))
    assert queue.jobs()[0].state == "queued"


# ---------------------------------------------------------------------------------------------------- schedules


@pytest.mark.parametrize(
    ("cron", "after", "then"),
    [
        ("0 7 * * 1-5", "2026-11-27 06:00", "2026-11-30 06:00"),  # a Friday at seven, then Monday
        ("30 2 * * *", "2026-10-24 00:31", "2026-10-25 00:30"),  # the first 02:30 of two
        ("30 2 * * *", "2026-10-25 00:30", "2026-10-26 01:30"),  # not the second
        ("30 2 * * *", "2026-10-25 01:10", "2026-10-26 01:30"),  # nor for who looks between them
        ("30 2 * * *", "2026-03-28 01:30", "2026-03-29 01:30"),  # there is none: at 03:30
        ("30 2 * * *", "2026-03-29 01:30", "2026-03-30 00:30"),
    ],
)
def test_a_schedule_goes_by_the_clocks_of_its_zone(cron: str, after: str, then: str) -> None:
    assert next_time(cron, BERLIN, utc(after)) == utc(then)


@pytest.mark.parametrize("cron", ["* * * * * */10", "hourly", "", "61 * * * *", "0 0 30 2 *", "@daily"])
def test_what_is_no_schedule_is_refused(cron: str) -> None:
    with pytest.raises(SettingsError, match="minute hour day month weekday"):
        next_time(cron, BERLIN, utc("2026-01-01 00:00"))


def test_a_zone_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="no time zone"):
        next_time("0 7 * * *", "Berlin/../x", utc("2026-01-01 00:00"))


def begin(queue: Queue, name: str, next_: str) -> None:
    queue.add_schedule(name, "30 2 * * *", BERLIN, wanted(name))
    with queue.store.looking() as connection:
        change = text("UPDATE batch_share.schedules SET next = :next WHERE name = :name")
        connection.execute(change, {"next": utc(next_), "name": name})


def test_a_week_with_downtime_and_a_change_of_clocks(queue: Queue, post: Callable[[], Post]) -> None:
    """One that looks each quarter of an hour, but for a day and a half, and a run that takes a day and a half."""
    begin(queue, "nightly", "2030-10-24 00:30")
    one, now, made, running = post(), utc("2030-10-23 22:00"), list[dt.datetime](), list[int]()
    missed = list[str]()
    while now < utc("2030-11-01 00:00"):
        is_down = utc("2030-10-24 20:00") < now < utc("2030-10-26 08:00")
        is_long = utc("2030-10-28 00:00") < now < utc("2030-10-29 13:00")
        if not is_down:
            jobs, told = queue.tick(now)
            made += [now for _ in jobs]
            missed += [str(each).partition(" did not run at ")[2] for each in told]
            running += [job.id for job in one.look(["europe"]).claimed]
            if running and not is_long:
                one.look(["europe"], [JobEnd(running.pop(), "ended", 0)])
        now += dt.timedelta(minutes=15)
    assert made == [
        utc("2030-10-24 00:30"),
        utc("2030-10-26 08:00"),  # one for two nights
        utc("2030-10-27 00:30"),  # once, of the two times that clocks show it
        utc("2030-10-28 01:30"),  # goes on until after the next
        utc("2030-10-30 01:30"),
        utc("2030-10-31 01:30"),
    ]
    assert missed == [
        "2030-10-25 02:30: no worker was there; it runs now, once for all that it missed.",
        "2030-10-29 02:30: its job 4 still goes on.",
    ]
    schedule = queue.schedules()[0]
    assert schedule.missed == utc("2030-10-29 01:30")
    assert (schedule.dropped, schedule.last, schedule.next) == (
        1,
        utc("2030-10-31 01:30"),
        utc("2030-11-01 01:30"),
    )


def test_a_schedule_of_a_zone_that_this_host_does_not_know_holds_up_no_other(queue: Queue) -> None:
    for name in ("nightly", "elsewhere"):
        begin(queue, name, "2026-01-01 01:30")
    with queue.store.looking() as connection:
        connection.execute(text("UPDATE batch_share.schedules SET zone = 'Nowhere/Yet' WHERE name = 'elsewhere'"))
    assert [job.schedule for job in queue.tick()[0]] == ["nightly"]
    with queue.store.looking() as connection:
        left = "SELECT name FROM batch_share.schedules WHERE next <= now()"
        assert connection.scalars(text(left)).all() == ["elsewhere"], "whoever knows its zone does it"


def test_a_schedule_that_is_paused_makes_none_and_catches_up_once(queue: Queue) -> None:
    begin(queue, "nightly", "2026-01-01 01:30")
    queue.pause_schedule("nightly")
    assert queue.tick() == ([], [])
    queue.pause_schedule("nightly", paused=False)
    (job,), missed = queue.tick()
    assert missed == [], "it was to be so"
    assert (job.ledger, job.schedule, job.submitted_by) == ("nightly", "nightly", "schedule nightly")
    assert queue.sheet(job) == SHEET
    newer = queue.submit(Wanted("nightly", "europe", "asha", sheet=("leads.csv", b"newer")))
    assert queue.tick() == ([], [])
    queue.cancel(job.id)
    (job,), _ = queue.tick(queue.schedules()[0].next)
    assert job.sheet == newer.sheet, "the newest of its ledger"
    queue.remove_schedule("nightly")
    assert queue.schedules() == []
    with pytest.raises(SettingsError, match="none called"):
        queue.remove_schedule("nightly")


def test_a_schedule_whose_job_nobody_begins_says_so_at_the_next_one(queue: Queue, post: Callable[[], Post]) -> None:
    """No worker has its account's keys: one of another account is told, once."""
    begin(queue, "nightly", "2020-01-01 01:30")
    one, changed = post(), text("UPDATE batch_share.schedules SET next = now() - interval '1 minute'")
    (missed,) = one.look(["india"]).missed
    assert str(missed).startswith(
        "The schedule nightly did not run at 2020-01-01 02:30: no worker was there; it runs"
    )
    assert not one.look(["india"]).missed
    with queue.store.looking() as connection:
        connection.execute(changed)
    (missed,) = one.look(["india"]).missed
    assert "its job 1 still waits for a worker that has its account's keys" in str(missed)
    assert (missed.schedule, missed.account) == ("nightly", "europe")
    with queue.store.looking() as connection:
        connection.execute(changed)
        connection.execute(text("UPDATE batch_share.jobs SET state = 'ended'"))
    assert not one.look(["india"]).missed, "a minute late is not missed"
    assert len(queue.jobs()) == 2


# --------------------------------------------------------------------------------------------------- follow-ups


def make_due(queue: Queue) -> None:
    with queue.store.looking() as connection:
        connection.execute(text("UPDATE batch_share.jobs SET due = now() WHERE state = 'queued'"))


def waits(queue: Queue) -> float:
    """Seconds until the newest job is due."""
    with queue.store.looking() as connection:
        due = "SELECT extract(epoch FROM due - submitted) FROM batch_share.jobs ORDER BY id DESC LIMIT 1"
        return float(connection.execute(text(due)).scalar_one())


def put_back(queue: Queue, seconds: float) -> None:
    """Let the end of the first of a row of follow-ups be as long ago."""
    with queue.store.looking() as connection:
        since = "json_build_object('since', (options ->> 'since')::float - :seconds)"
        change = text(f"UPDATE batch_share.jobs SET options = {since} WHERE state = 'queued'")
        connection.execute(change, {"seconds": seconds})


def test_what_is_in_process_is_asked_for_again_ever_more_rarely_for_a_day(
    queue: Queue, post: Callable[[], Post]
) -> None:
    job = queue.submit(wanted(options={"settings": {"rate": "5/5s"}, "limit": 3}))
    one = post()
    one.look(["europe"])
    one.look(["europe"], [JobEnd(job.id, "ended", 5, follows=True)])
    then = queue.jobs()[0]
    assert (then.kind, then.ledger, then.state, then.sheet) == ("follow_up", "spring", "queued", None)
    assert then.options["settings"] == {"rate": "5/5s"}
    assert waits(queue) == FOLLOW_UP_AFTER
    assert one.look(["europe"]).claimed == [], "it is not due yet"
    for ago, then_waits in ((2 * FOLLOW_UP_AFTER, 2 * FOLLOW_UP_AFTER), (8 * 3600.0, FOLLOW_UP_EVERY)):
        put_back(queue, ago)
        make_due(queue)
        (claimed,) = one.look(["europe"]).claimed
        assert claimed.may_be_followed_up
        one.look(["europe"], [JobEnd(claimed.id, "ended", 5, follows=True)])
        assert then_waits <= waits(queue) < then_waits + 60
    put_back(queue, FOLLOWED_UP_FOR)
    make_due(queue)
    (claimed,) = one.look(["europe"]).claimed
    assert not claimed.may_be_followed_up, "a person is to look"


def test_a_ledger_has_one_follow_up_that_waits(queue: Queue, post: Callable[[], Post]) -> None:
    one = post()
    for _ in range(2):
        job = queue.submit(wanted())
        one.look(["europe"])
        one.look(["europe"], [JobEnd(job.id, "ended", 5, follows=True)])
        put_back(queue, 3600)
    (waiting,) = [each for each in queue.jobs() if each.state == "queued"]
    make_due(queue)
    assert waiting.due.timestamp() - float(waiting.options["since"]) < 2 * 3600, "a day from the last run on"


def test_who_has_lost_a_job_makes_no_follow_up_of_it(queue: Queue, post: Callable[[], Post]) -> None:
    job = queue.submit(wanted())
    one, two = post(), post()
    one.look(["europe"])
    two.look(["india"], [JobEnd(job.id, "ended", 5, follows=True)])
    assert [each.kind for each in queue.jobs()] == ["run"]


def test_two_schedules_of_one_name_are_refused(queue: Queue) -> None:
    begin(queue, "nightly", "2026-01-01 01:30")
    with pytest.raises(SettingsError, match="there is one called"):
        queue.add_schedule("nightly", "0 7 * * *", BERLIN, wanted("nightly"))


def test_a_sheet_that_was_purged_is_told(queue: Queue) -> None:
    job = queue.submit(Wanted("spring", "europe", "asha"))
    with pytest.raises(BatchShareError, match="purged"):
        queue.sheet(job)
