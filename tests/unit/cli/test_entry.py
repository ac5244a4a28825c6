"""A value that is empty is refused for every option and argument of every command, before anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest
import typer
from readme_reference import commands
from typer.testing import CliRunner

from batch_share.cli.app import app
from batch_share.cli.entry import CommandLine

if TYPE_CHECKING:
    from collections.abc import Iterator

BLANKS = ["", " ", " \t\n"]


def takes_value(param: Any) -> bool:
    """Whether something is to be typed for it: it is no switch."""
    return param.param_type_name == "argument" or not (param.is_flag or param.count)


def spellings(param: Any, blank: str) -> Iterator[list[str]]:
    """Each way to type a blank value for it, of a list also after one that is not blank."""
    if param.param_type_name == "argument":
        yield [blank]
        return
    for name in [*param.opts, *param.secondary_opts]:
        yield [name, blank]
        if param.multiple:
            yield [name, "A=b", name, blank]
        if name.startswith("--"):
            yield [f"{name}={blank}"]


VALUES = [
    pytest.param(name, param.name, id=f"{name} {param.name}")
    for name, command in commands().items()
    for param in command.params
    if takes_value(param)
]


@pytest.mark.parametrize(("command", "param"), VALUES)
def test_no_command_begins_with_an_empty_value(
    command: str, param: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made = commands()[command]
    meant = next(each for each in made.params if each.name == param)
    begun: list[object] = []
    made.callback = lambda **given: begun.append(given)
    for each in made.params:  # by one of them a LEDGER is looked up
        each.callback = lambda *given: begun.append(given)
    is_argument = meant.param_type_name == "argument"
    arguments = [each for each in made.params if each.param_type_name == "argument"]
    name = meant.metavar.strip("[].") if is_argument else max(meant.opts, key=len)
    for typed in (each for blank in BLANKS for each in spellings(meant, blank)):
        given = [each for one in arguments for each in (typed if one is meant else ["x.csv"])]
        with pytest.raises(SystemExit) as ended:
            made.main(given if is_argument else [*given, *typed], prog_name="batch-share")
        assert (typed, ended.value.code) == (typed, 2)
        assert f"Error: {name} is empty: " in capsys.readouterr().err
    assert begun == []
    assert [*tmp_path.iterdir()] == []


def test_a_value_that_is_needed_can_not_be_left_out() -> None:
    done = CliRunner().invoke(app, ["purge", "--older-than", " "])
    assert "Error: --older-than is empty: give it a value." in done.output
    done = CliRunner().invoke(app, ["status", ""])
    assert "Error: LEDGER is empty: give it a value." in done.output
    done = CliRunner().invoke(app, ["demo", "a.csv", ""])
    assert "Error: SHEET is empty: leave it out, or give it a value." in done.output


# ------------------------------------------------------------------------------------------ commands to come


@pytest.fixture
def begun() -> list[object]:
    """What a command of the made-up command line was given."""
    return []


@pytest.fixture
def line(begun: list[object]) -> CommandLine:
    """A command line with an option of its own, and a command of a group."""
    line, group = CommandLine(rich_markup_mode=None), CommandLine(rich_markup_mode=None)

    @line.callback()
    def root(where: Annotated[Path | None, typer.Option()] = None) -> None:
        begun.append(where)

    @group.command("go")
    def go(
        place: Annotated[Path, typer.Argument()] = Path("here"),
        pair: Annotated[tuple[str, int] | None, typer.Option()] = None,
        share: Annotated[float, typer.Option()] = 0.5,
        name: Annotated[str, typer.Option("-n")] = "",
        deep: Annotated[bool, typer.Option("--deep")] = False,
    ) -> None:
        begun.append((place, pair, share, name, deep))

    line.add_typer(group, name="group")
    return line


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        (["--where", "", "group", "go"], "--where"),
        (["group", "go", "", "--deep"], "PLACE"),
        (["group", "go", "--pair", "x", ""], "--pair"),
        (["group", "go", "--share", " "], "--share"),
        (["group", "go", "-n", ""], "-n"),
        (["group", "go", "--deep", "-n", ""], "-n"),
    ],
)
def test_a_command_to_come_is_guarded_too(
    line: CommandLine, begun: list[object], typed: list[str], named: str
) -> None:
    done = CliRunner().invoke(line, typed)
    assert done.exit_code == 2
    assert f"Error: {named} is empty: leave it out, or give it a value." in done.output
    assert [each for each in begun if isinstance(each, tuple)] == []


def test_what_is_not_empty_is_taken_and_a_default_that_is_was_not_typed(
    line: CommandLine, begun: list[object]
) -> None:
    assert CliRunner().invoke(line, ["group", "go", "--pair", " x", "1"]).exit_code == 0
    assert begun == [None, (Path("here"), (" x", 1), 0.5, "", False)]


def test_a_shell_may_complete_after_what_is_empty(line: CommandLine) -> None:
    typed = {"_GO_COMPLETE": "complete_bash", "COMP_WORDS": "go group go -n '' --", "COMP_CWORD": "5"}
    done = CliRunner().invoke(line, [], prog_name="go", env=typed)
    assert "--share" in done.output
