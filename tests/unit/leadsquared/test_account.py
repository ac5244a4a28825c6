"""What an account's file remembers over a restart: when it was last called, and whether anything was under way."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from batch_share.common import Rate
from batch_share.errors import AccountClosed, BatchShareError, DailyLimitReached
from batch_share.leadsquared.account import Account, AccountMemory, account_name
from batch_share.leadsquared.guesses import LONGEST_CLOSED

if TYPE_CHECKING:
    from pathlib import Path

START = 1_700_000_000.0
PERIOD = 5.0


class Clock:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock at START."""
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An account's file, not yet there, in a folder that is not there either."""
    return tmp_path / "state" / "name.account"


def seconds_to_wait(file: Path, clock: Clock) -> float:
    """What a new process owes; it is killed at once."""
    return AccountMemory(file, clock).__enter__().seconds_to_wait(PERIOD)


def call_and_close(file: Path, clock: Clock) -> None:
    """A process that makes a call and ends well."""
    with AccountMemory(file, clock) as memory:
        memory.note()


def call_and_die(file: Path, clock: Clock) -> None:
    """A process that is killed after it sent a call."""
    AccountMemory(file, clock).__enter__().note()


def test_an_account_never_called_owes_nothing(file: Path, clock: Clock) -> None:
    assert seconds_to_wait(file, clock) == 0.0


def test_opening_and_closing_are_no_calls(file: Path, clock: Clock) -> None:
    for _ in range(2):
        with AccountMemory(file, clock) as memory:
            assert memory.seconds_to_wait(PERIOD) == 0.0


@pytest.mark.parametrize(("later", "rest"), [(0.0, 5.0), (1.5, 3.5), (5.0, 0.0), (1e6, 0.0), (-3600.0, 5.0)])
def test_after_a_good_end_the_rest_of_the_period_is_owed(
    file: Path, clock: Clock, later: float, rest: float
) -> None:
    call_and_close(file, clock)
    clock.now += later
    assert seconds_to_wait(file, clock) == pytest.approx(rest, abs=1e-5)


@pytest.mark.parametrize(
    ("later", "rest"), [(0.0, 6.0), (0.4, 5.6), (1.0, 5.0), (30.0, 5.0), (64.0, 5.0), (66.0, 0.0), (-3600.0, 6.0)]
)
def test_after_a_kill_a_call_may_still_be_on_its_way(file: Path, clock: Clock, later: float, rest: float) -> None:
    call_and_die(file, clock)
    clock.now += later
    assert seconds_to_wait(file, clock) == pytest.approx(rest, abs=1e-5)


def test_the_time_is_that_of_the_last_note(file: Path, clock: Clock) -> None:
    with AccountMemory(file, clock) as memory:
        memory.note()
        clock.now += 4.0
        memory.note()
    assert seconds_to_wait(file, clock) == pytest.approx(5.0, abs=1e-5)


def test_a_killed_process_that_called_nobody_changes_nothing(file: Path, clock: Clock) -> None:
    call_and_close(file, clock)
    clock.now += 100.0
    for _ in range(3):
        assert seconds_to_wait(file, clock) == 0.0


def test_what_others_did_while_it_was_closed_is_known_when_it_is_opened_again(file: Path, clock: Clock) -> None:
    with AccountMemory(file, clock) as memory:
        memory.spend(None)
        memory.note()
        memory.close()
        with AccountMemory(file, clock) as other:
            clock.now += 60.0
            for _ in range(30):
                other.spend(None)
            other.note()
            other.keep(rate=Rate(10, 5.0))
            other.close_for(900.0)
        clock.now += 1.0
        memory.open()
        assert memory.seconds_to_wait(PERIOD) == pytest.approx(4.0, abs=1e-5)
        assert (memory.account.calls, memory.account.rate) == (31, Rate(10, 5.0))
        with pytest.raises(AccountClosed):
            memory.check_open()


def test_what_was_closed_is_not_written_any_more(file: Path, clock: Clock) -> None:
    with AccountMemory(file, clock) as memory:
        memory.close()
        other = AccountMemory(file, clock).__enter__()
        other.note()
        text = file.read_bytes()
    assert file.read_bytes() == text, "it is the other's now, whose call is under way"


def test_an_end_by_an_exception_may_leave_calls_under_way(file: Path, clock: Clock) -> None:
    with suppress(KeyboardInterrupt), AccountMemory(file, clock) as memory:
        memory.note()
        raise KeyboardInterrupt
    clock.now += 3.0
    assert seconds_to_wait(file, clock) == 5.0


@pytest.mark.parametrize("text", [b"", b"\xff\x00torn", b"closed"])
def test_a_torn_file_counts_as_left_open(file: Path, clock: Clock, text: bytes) -> None:
    call_and_close(file, clock)
    file.write_bytes(text)
    os.utime(file, (START, START))
    clock.now += 3.0
    assert seconds_to_wait(file, clock) == 5.0


def test_a_file_that_vanishes_disturbs_no_call_and_is_made_anew(file: Path, clock: Clock) -> None:
    with AccountMemory(file, clock) as memory:
        file.unlink()
        memory.note()
    clock.now += 2.0
    assert seconds_to_wait(file, clock) == pytest.approx(3.0, abs=1e-5)


def test_a_folder_that_vanishes_disturbs_nothing(file: Path, clock: Clock) -> None:
    with AccountMemory(file, clock) as memory:
        file.unlink()
        file.parent.rmdir()
        memory.note()


def test_the_longer_of_two_periods_is_owed(file: Path, clock: Clock) -> None:
    """The next run may be at another rate: the window of this one is still open."""
    with AccountMemory(file, clock) as memory:
        memory.seconds_to_wait(PERIOD)
        memory.note()
    clock.now += 1.0
    with AccountMemory(file, clock) as memory:
        assert memory.seconds_to_wait(1.0) == pytest.approx(4.0, abs=1e-5)
        memory.note()
    clock.now += 0.5
    assert AccountMemory(file, clock).__enter__().seconds_to_wait(0.2) == pytest.approx(0.5, abs=1e-5)


def test_a_full_disk_forgets_nothing(file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    with AccountMemory(file, clock) as memory:
        for _ in range(60):
            memory.spend(None)
        memory.keep(rate=Rate(20, 5.0))
        monkeypatch.setattr("batch_share.leadsquared.account.write_private", full)
        for _ in range(60):
            memory.spend(None)
    monkeypatch.undo()
    assert Account.read(file).rate == Rate(20, 5.0)
    assert Account.read(file).calls >= 60


def test_the_folder_and_the_file_are_their_owners_only(file: Path, clock: Clock) -> None:
    call_and_close(file, clock)
    assert file.parent.stat().st_mode & 0o077 == 0
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with (
        pytest.raises(BatchShareError, match=r"state folder .*state can't be written .*BATCH_SHARE_STATE_FOLDER"),
        AccountMemory(tmp_path / "state" / "name.account", clock),
    ):
        pass


def test_a_file_that_can_not_be_read_is_an_error_too(file: Path, clock: Clock) -> None:
    file.mkdir(parents=True)
    with pytest.raises(BatchShareError), AccountMemory(file, clock):
        pass


# ------------------------------------------------------------------------------------- what was told, what is spent


def test_a_limit_that_was_reported_is_known_to_the_next_process_however_this_one_ends(
    file: Path, clock: Clock
) -> None:
    memory = AccountMemory(file, clock).__enter__()
    assert memory.account.rate is None
    memory.keep(rate=Rate(20, 5.0))
    assert AccountMemory(file, clock).__enter__().account.rate == Rate(20, 5.0)
    assert Account.read(file).rate == Rate(20, 5.0)


def test_the_calls_of_a_day_are_counted_over_processes(file: Path, clock: Clock) -> None:
    for _ in range(3):
        with AccountMemory(file, clock) as memory:
            for _ in range(30):
                memory.spend(100)
    with AccountMemory(file, clock) as memory:
        for _ in range(10):
            memory.spend(100)
        with pytest.raises(DailyLimitReached) as caught:
            memory.spend(100)
    assert (caught.value.limit, caught.value.made) == (100, 100)


def test_a_process_that_is_killed_has_made_as_many_as_it_may_have(file: Path, clock: Clock) -> None:
    """It writes their number down ahead, and only now and then."""
    memory = AccountMemory(file, clock).__enter__()
    for _ in range(70):
        memory.spend(None)
    with AccountMemory(file, clock) as memory:
        memory.spend(None)
    assert 70 < Account.read(file).calls <= 70 + 26


@pytest.mark.parametrize(("seconds", "most"), [(0.2, 64), (0.001, 18)])
def test_the_quicker_the_calls_the_more_seldom_they_are_written_down(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, seconds: float, most: int
) -> None:
    written: list[int] = []
    with AccountMemory(file, clock) as memory:
        monkeypatch.setattr("batch_share.leadsquared.account.write_private", lambda *_: written.append(1))
        for _ in range(1600):
            memory.spend(None)
            clock.now += seconds
        monkeypatch.undo()
    assert 1 <= len(written) <= most
    assert Account.read(file).calls == 1600


def test_a_new_day_begins_at_nothing(file: Path, clock: Clock) -> None:
    with AccountMemory(file, clock) as memory:
        memory.spend(1)
        clock.now += 86_400
        memory.spend(1)
    assert Account.read(file).calls == 1
    clock.now += 86_400
    with AccountMemory(file, clock) as memory:
        memory.spend(1)


def test_a_call_that_never_left_is_given_back(file: Path, clock: Clock) -> None:
    with AccountMemory(file, clock) as memory:
        memory.spend(2)
        for _ in range(60):
            memory.give_back(memory.spend(2))
        memory.spend(2)
        with pytest.raises(DailyLimitReached):
            memory.spend(2)
        assert memory.account.calls == 2
    assert Account.read(file).calls == 2


def test_a_call_that_is_given_back_writes_nothing(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    with AccountMemory(file, clock) as memory:
        memory.give_back(memory.spend(None))
        monkeypatch.setattr("batch_share.leadsquared.account.write_private", lambda *_: written.append(1))
        for _ in range(60):
            memory.give_back(memory.spend(None))
        monkeypatch.undo()
    assert written == []


def test_a_process_that_is_killed_counts_all_that_it_made_and_did_not_give_back(file: Path, clock: Clock) -> None:
    memory = AccountMemory(file, clock).__enter__()
    for at in range(71):
        counted_on = memory.spend(None)
        if at % 2:
            memory.give_back(counted_on)
        clock.now += 1.0
    assert 36 <= Account.read(file).calls <= 36 + 25
    with AccountMemory(file, clock) as memory:
        memory.spend(None)
    assert 36 < Account.read(file).calls <= 36 + 26


def test_a_call_of_yesterday_that_is_given_back_today_is_none_of_todays(file: Path, clock: Clock) -> None:
    with AccountMemory(file, clock) as memory:
        before = memory.spend(None)
        clock.now += 86_400
        memory.spend(None)
        memory.give_back(before)
        assert memory.account.calls == 1
    assert Account.read(file).calls == 1


def test_a_call_that_is_given_back_after_midnight_before_another_is_made(file: Path, clock: Clock) -> None:
    with AccountMemory(file, clock) as memory:
        before = memory.spend(None)
        clock.now += 86_400
        memory.give_back(before)
        memory.spend(1)
    assert Account.read(file).calls == 1


def test_counting_and_learning_are_no_calls(file: Path, clock: Clock) -> None:
    with AccountMemory(file, clock) as memory:
        memory.spend(None)
        memory.keep(rate=Rate(20, 5.0))
    assert seconds_to_wait(file, clock) == 0.0


@pytest.mark.parametrize("text", ["{}", "[]", '{"rate": 7}', "no json"])
def test_a_file_that_says_nothing_knows_nothing(file: Path, clock: Clock, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    assert Account.read(file) == Account()
    with AccountMemory(file, clock) as memory:
        assert memory.account.rate is None
        memory.spend(1)


HOST = "https://api.example"
KEY = SecretStr("u$r0123456789abcdef")


def test_the_same_account_has_the_same_name() -> None:
    assert account_name(HOST, KEY) == account_name(HOST, SecretStr(KEY.get_secret_value()))


@pytest.mark.parametrize(("host", "key"), [("https://api2.example", KEY), (HOST, SecretStr("another"))])
def test_another_host_or_key_has_another_name(host: str, key: SecretStr) -> None:
    assert account_name(host, key) != account_name(HOST, KEY)


def test_a_name_is_a_file_name_without_any_piece_of_the_key() -> None:
    name, key = account_name(HOST, KEY), KEY.get_secret_value()
    assert name.isalnum()
    assert not any(key[start : start + 4] in name for start in range(len(key) - 3))


# ------------------------------------------------------------------------------------- what bulk calls teach


@pytest.mark.parametrize(
    "text",
    [
        '{"process": 1, "closed": true, "period": 5.0, "rate": "20/5s"}',
        '{"process": 1, "closed": true, "period": 5.0, "rate": "20/5s", "day": "2023-11-14", "calls": 7}',
        '{"closed": true, "rate": "20/5s", "period": 5.0, "of a later version": [1]}',
    ],
)
def test_a_file_of_another_version_is_read_as_far_as_it_is_known(file: Path, clock: Clock, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    known = Account.read(file)
    assert (known.rate, known.bulk_rate, known.share_batch) == (Rate(20, 5.0), None, 0)
    assert (known.closed, known.period) == (True, 5.0)
    with AccountMemory(file, clock) as memory:
        memory.keep(share_batch=4)
    assert (Account.read(file).rate, Account.read(file).share_batch) == (Rate(20, 5.0), 4)


def test_what_is_known_of_bulk_calls_survives_however_its_process_ends(file: Path, clock: Clock) -> None:
    memory = AccountMemory(file, clock).__enter__()
    memory.keep(rate=Rate(20, 5.0))
    memory.keep(bulk_rate=Rate(2, 5.0))
    memory.keep(share_batch=10)
    for _ in range(2):  # after a kill, and after a good end
        with AccountMemory(file, clock) as later:
            known = later.account
            assert (known.rate, known.bulk_rate, known.share_batch) == (Rate(20, 5.0), Rate(2, 5.0), 10)


@pytest.mark.parametrize("order", [(5.0, 20.0), (20.0, 5.0)])
def test_of_two_periods_that_were_kept_the_longer_one_is_owed(
    file: Path, clock: Clock, order: tuple[float, float]
) -> None:
    with AccountMemory(file, clock) as memory:
        assert memory.seconds_to_wait(order[0]) == 0.0
        assert memory.seconds_to_wait(order[1]) == 0.0
        memory.note()
    clock.now += 1.0
    with AccountMemory(file, clock) as memory:
        assert memory.seconds_to_wait(5.0) == pytest.approx(19.0, abs=1e-5)
        assert memory.seconds_to_wait(30.0) == pytest.approx(29.0, abs=1e-5)


# ----------------------------------------------------------------------------- what is believed of what is written


@pytest.mark.parametrize(
    ("name", "odd", "fit"),
    [
        ("period", "1e308", "60.01"),
        ("period", "86400.0", "0.2"),
        ("period", "NaN", "5.01"),
        ("period", "-1.0", "0.0"),
        ("period", "5", "5.01"),
        ("calls", "-7", "7"),
        ("calls", "1000000001", "1000000000"),
        ("calls", "true", "1"),
        ("share_batch", "26", "25"),
        ("share_batch", "-1", "1"),
        ("process", "-1", "1"),
        ("closed_until", "-1.0", "1.5"),
        ("closed_until", '"2026"', "1e308"),
        ("closed", "1", "true"),
    ],
)
def test_an_odd_value_counts_as_not_there_and_the_others_are_kept(
    file: Path, name: str, odd: str, fit: str
) -> None:
    file.parent.mkdir()
    file.write_text(f'{{"day": "2023-11-14", "{name}": {odd}}}')
    assert Account.read(file) == Account(day="2023-11-14")
    file.write_text(f'{{"day": "2023-11-14", "{name}": {fit}}}')
    assert getattr(Account.read(file), name) == json.loads(fit)


@pytest.mark.parametrize(
    "rate", ["1001/5s", "10000/86400s", "1/86400s", "20/61s", "20/500ms", "0/5s", "quick", [], 7]
)
def test_a_limit_that_no_account_has_was_never_reported(file: Path, rate: object) -> None:
    file.parent.mkdir()
    file.write_text(json.dumps({"rate": rate, "bulk_rate": rate}))
    assert (Account.read(file).rate, Account.read(file).bulk_rate) == (None, None)


# ----------------------------------------------------------------------------------------- until when it is closed

UNTIL = datetime.fromtimestamp(START + 86_400.0, UTC)


def test_a_closed_account_makes_no_call_in_any_process_until_its_time_is_over(file: Path, clock: Clock) -> None:
    memory = AccountMemory(file, clock).__enter__()
    memory.keep(rate=Rate(20, 5.0))
    assert memory.close_for(86_400.0) == UNTIL
    clock.now += 86_399.0
    with AccountMemory(file, clock) as memory:
        for refused in (memory.check_open, lambda: memory.spend(None)):
            with pytest.raises(AccountClosed) as caught:
                refused()
            assert caught.value.until == UNTIL
        assert (memory.account.calls, memory.account.rate) == (0, Rate(20, 5.0))
    clock.now += 1.0
    with AccountMemory(file, clock) as memory:
        memory.check_open()
        memory.spend(None)


def test_calls_that_one_closing_refuses_tell_one_end_of_it(file: Path, clock: Clock) -> None:
    with AccountMemory(file, clock) as memory:
        assert memory.close_for(86_400.0) == UNTIL
        clock.now += 0.6
        assert memory.close_for(86_400.0) == UNTIL  # rounded up by its server
        clock.now += 60.0
        assert memory.close_for(86_400.0) == UNTIL + timedelta(seconds=60.6)


def test_an_account_that_somebody_opens_again_stays_open(file: Path, clock: Clock) -> None:
    with AccountMemory(file, clock) as memory:
        memory.close_for(400.0)
        memory.keep(closed_until=0.0)
        memory.spend(None)
    with AccountMemory(file, clock) as memory:
        memory.spend(None)


@pytest.mark.parametrize("until", [START - 1, START, START + LONGEST_CLOSED + 1, 1e308, float("inf")])
def test_an_end_that_is_over_or_further_away_than_any_counts_as_none(
    file: Path, clock: Clock, until: float
) -> None:
    file.parent.mkdir()
    file.write_text(json.dumps({"closed_until": until}))
    with AccountMemory(file, clock) as memory:
        memory.spend(None)


def test_a_disk_that_is_full_leaves_it_closed_for_this_process(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    with AccountMemory(file, clock) as memory:
        monkeypatch.setattr("pathlib.Path.write_text", full)
        memory.close_for(400.0)
        with pytest.raises(AccountClosed):
            memory.check_open()
