"""Options: each has one text, and every setting is one, though few are in the help."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import typer
from readme_reference import commands
from typer.testing import CliRunner

import batch_share
from batch_share.cli.app import app
from batch_share.cli.options import OPTIONS, SETTING_TEXTS, Given, option_of, setting_kinds
from batch_share.common import Rate
from batch_share.errors import SettingsError
from batch_share.settings import Settings

ELSEWHERE = ["access_key", "secret_key", "host", "allow_host"]
OF_COMMANDS = {
    *("worksheet", "map", "rows", "limit", "only", "user", "all_jobs", "reason", "all", "only_unknown"),
    *("ledger", "plan", "online", "once", "every", "settle", "if_changed", "due", "set", "yes"),
    *("output", "save", "save_map", "json", "verbose", "queue"),
}
RESUME: Any = typer.main.get_command(app).commands["resume"]  # type: ignore[attr-defined]


def given(*typed: str) -> Given:
    """What `resume` is given when this is typed after its ledger."""
    context = RESUME.make_context("batch-share resume", ["x.db", *typed])
    return Given({name: value for name, value in context.params.items() if name != "ledger"})


def refusal(*typed: str) -> str:
    """What is said of a setting that can't be taken."""
    with pytest.raises(SettingsError) as caught:
        given(*typed).settings()
    return str(caught.value)


# ------------------------------------------------------------------------------------------ one text


def test_every_setting_has_a_text_and_no_other_has() -> None:
    assert [*SETTING_TEXTS] == [*Settings.model_fields]
    assert len({*SETTING_TEXTS.values()}) == len(SETTING_TEXTS)


def test_no_option_that_is_a_setting_has_a_text_of_its_own() -> None:
    for name in OPTIONS.keys() & Settings.model_fields.keys():
        assert OPTIONS[name].__metadata__[0].help is SETTING_TEXTS[name], name


def test_every_option_is_a_setting_or_the_commands_own() -> None:
    """One that is neither, by a slip in its name, would be taken and change nothing."""
    assert OPTIONS.keys() - Settings.model_fields.keys() == OF_COMMANDS


def test_no_option_of_the_table_is_reported_otherwise_by_a_command() -> None:
    """Commands may have options of their own, each in another meaning than the table's: in no group."""
    texts: dict[str, set[str]] = defaultdict(set)
    for command in commands().values():
        for param in command.params:
            if param.param_type_name == "option" and param.rich_help_panel:
                texts[param.name].add(param.help)
    assert texts == {name: {OPTIONS[name].__metadata__[0].help} for name in OPTIONS}


# ------------------------------------------------------------------------------------------ by their names


def test_what_was_given_is_set_and_what_was_not_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_SHARE_BULK", "true")
    monkeypatch.setenv("BATCH_SHARE_STOP_AFTER_FAILURES", "7")
    monkeypatch.setenv("BATCH_SHARE_WAIT", "5s")
    found = given("--rate", "20/5s", "--stop-after-failures", "0", "--yes").settings()
    assert (found.rate, found.bulk, found.stop_after_failures) == (Rate(20, 5.0), True, 0)
    assert (found.wait, found.follow_up, found.calls_when_closed) == (5.0, True, True)
    assert not given("--no-bulk").settings().bulk
    assert not given("--set", "bulk=false").settings().bulk


@pytest.mark.parametrize("name", sorted(setting_kinds().keys() - {*ELSEWHERE, "account"}))
def test_every_setting_is_an_option_of_its_own_name(name: str) -> None:
    """Also those that are said by nothing but their name, which take the next word for no value of theirs."""
    kinds, table, part = setting_kinds(), *name.partition(".")[::2]
    value = {"rate": "9/9s", "bulk_rate": "9/9s", "notify": "a.jsonl", "on_unknown": "park", "log_level": "debug"}
    value |= {
        "proxy": "http://127.0.0.1:1",
        "store": "postgresql://h/d",
        "stop_at": "9%",
        "renew": "9d",
        "marker_field": "mx_Custom_9",
        "dates": "mdy",
    }
    as_typed = [option_of(name), *([] if kinds[name] else [value.get(name, "9")])]

    def found(*typed: str) -> Any:
        set_ = getattr(given(*typed).settings(), table)
        return getattr(set_, part) if part else set_

    assert found() != found(*as_typed) or name == "follow_up"  # which is so if nobody says
    if name != "notify":
        assert found(*as_typed) == found("--set", f"{name}={'true' if kinds[name] else value.get(name, '9')}")
    if kinds[name]:
        assert not found(f"--no-{name.replace('_', '-')}")
    else:
        assert found(*as_typed) == found("=".join(as_typed))


@pytest.mark.parametrize(
    ("typed", "name", "value"),
    [
        (["--note", "--bulk-rate"], "note", "--bulk-rate"),  # the value of an option, whatever it looks like
        (["--note=--json"], "note", "--json"),
        (["--note", "a=b"], "note", "a=b"),
        (["--note=a=b"], "note", "a=b"),
        (["--set", "note=a=b"], "note", "a=b"),
        (["--set", "note=--max-rows"], "note", "--max-rows"),
        (["--wait", "3s", "--rate", "9/9s"], "wait", 3.0),
        (["--set", "wait=3s"], "wait", 3.0),
        (["--set=wait=3s"], "wait", 3.0),
        (["--set", "max-rows=3"], "max_rows", 3),
        (["--set", "Max_Rows=3"], "max_rows", 3),
        (["--set", "max_rows=3", "--set", "max_rows=4"], "max_rows", 4),
        (["--set", "max_rows=3", "--max-rows", "4"], "max_rows", 4),
        (["--max-rows", "3", "--", "x.db"], "max_rows", 3),
        (["--trust-ids", "--no-trust-ids"], "trust_ids", False),
        (["--canary", "3", "--set", "canary=4"], "canary", 3),
    ],
)
def test_what_is_typed_is_what_is_meant(typed: list[str], name: str, value: object) -> None:
    command: Any = typer.main.get_command(app)
    words = typed if "--" in typed else ["x.db", *typed]
    context = command.commands["resume"].make_context("batch-share resume", words)
    found = Given({key: each for key, each in context.params.items() if key != "ledger"})
    assert str(context.params["ledger"]) == "x.db"
    assert getattr(found.settings(), name) == value


def test_a_table_of_settings_is_set_bit_by_bit() -> None:
    limits = given("--set", "sheet.rows=5", "--sheet.columns", "6").settings().sheet
    assert (limits.rows, limits.columns, limits.entries) == (5, 6, 5000)


# ------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("typed", "reported"),
    [
        (["--max-rows", "x"], "--max-rows: should be a whole number"),
        (["--max-rows=0"], "--max-rows: should be greater than 0"),
        (["--set", "max-rows=0"], "--set max-rows: should be greater than 0"),
        (["--canary", "0"], "--canary: should be greater than 0"),
        (["--bulk-rate", "fast"], "--bulk-rate: 'fast' is no rate: write calls/period, such as 25/5s"),
        (["--set", "follow_up=perhaps"], "--set follow_up: should be true or false"),
        (["--set", "sheet.rows=x"], "--set sheet.rows: should be a whole number"),
        (["--on-unknown", "guess"], "--on-unknown: should be 'settle' or 'park'"),
        (["--note", " "], "--note: is empty: leave it out, or give it a value"),
        (["--set", "rate="], "--set rate: is empty: leave it out, or give it a value"),
        (["--set", "rate"], "--set: write NAME=VALUE, as in --set max_rows=100"),
        (
            ["--set", "max_row=5"],
            "--set max_row: there is no such setting: did you mean max_rows? `batch-share config show` lists them ",
        ),
        (["--set", "=5"], "--set : there is no such setting: `batch-share config show` lists them all"),
        (["--set", "sheet=5"], "--set sheet: there is no such setting: "),
    ],
)
def test_a_setting_that_is_none_is_reported_as_it_was_typed(typed: list[str], reported: str) -> None:
    assert refusal(*typed).startswith(reported)


@pytest.mark.parametrize("name", [*ELSEWHERE, "notify"])
def test_what_belongs_elsewhere_is_told_where_and_not_quoted(name: str) -> None:
    reported = refusal("--set", f"{name}=sesame")
    assert reported.startswith(f"--set {name}: ")
    assert f"BATCH_SHARE_{name.upper()} in the environment" in reported
    assert "sesame" not in reported
    if name != "notify":
        assert refusal(option_of(name), "sesame") == reported.replace("--set ", "").replace(
            name, option_of(name), 1
        )


@pytest.mark.parametrize(
    ("typed", "reported"),
    [
        (["--max-row", "5"], "No such option: --max-row (Did you mean --max-rows?)"),
        (["--verbos"], "No such option: --verbos (Did you mean --verbose?)"),
        (["--no-max-rows"], "No such option: --no-max-rows (Did you mean --max-rows?)"),
        (["--frobnicate"], "No such option: --frobnicate"),
        (["--trust-ids=yes"], "Option '--trust-ids' does not take a value."),
        (["--max-rows"], "Option '--max-rows' requires an argument."),
        (["--rate"], "Option '--rate' requires an argument."),
    ],
)
def test_an_option_that_is_none_is_reported_with_the_one_that_may_be_meant(typed: list[str], reported: str) -> None:
    done = CliRunner().invoke(app, ["resume", "x.db", *typed])
    assert done.exit_code == 2
    assert f"Error: {reported}" in done.stderr


def test_what_sends_nothing_takes_no_settings() -> None:
    done = CliRunner().invoke(app, ["status", "x.db", "--max-rows", "5"])
    assert done.exit_code == 2
    assert "No such option: --max-rows" in done.stderr


def test_the_options_that_messages_name_are_there() -> None:
    """Wherever the package tells somebody to type an option, one of its commands takes it."""
    known = {name for command in commands().values() for param in command.params for name in param.opts}
    known |= {option_of(name) for name in setting_kinds()}
    known |= {f"--no-{name.replace('_', '-')}" for name, is_switch in setting_kinds().items() if is_switch}
    known |= {"--help", "--version"}
    for file in Path(batch_share.__file__).parent.rglob("*.py"):
        reported = {*re.findall(r"(?<![\w-])--[a-z][a-z-]+", file.read_text(encoding="utf-8"))}
        assert reported <= known, file
