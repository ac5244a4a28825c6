"""The manual in a terminal and elsewhere, and what is said of a topic that it does not have."""

from __future__ import annotations

import re

import pytest
from rich.markdown import Markdown
from typer.testing import CliRunner

from batch_share.cli.app import app
from batch_share.cli.manual import TOPICS, page, show
from batch_share.errors import SettingsError


def manual(*words: str) -> str:
    """What `batch-share manual` prints, where nobody looks on."""
    done = CliRunner().invoke(app, ["manual", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_it_lists_its_topics_each_in_a_line() -> None:
    *topics, blank, last = manual().splitlines()
    assert [line.split()[0] for line in topics] == [*TOPICS]
    assert all(len(line) <= 80 and line[11:].strip() for line in topics)
    assert (blank, last) == ("", "Read one with: batch-share manual sheets")


@pytest.mark.parametrize("topic", TOPICS)
def test_a_page_is_printed_as_it_is_but_for_what_is_for_its_tests(topic: str) -> None:
    said = manual(topic)
    assert said == page(topic)
    assert said.startswith(f"# {topic.capitalize()}: ")
    assert "<!--" not in said
    assert said.endswith("\n")
    assert not said.endswith("\n\n")


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("sheet", "sheets"),
        ("Bulk", "bulk"),
        ("shedules", "schedules"),
        ("cron", "schedules or"),
        ("Duration", "sheets or"),
        ("x" * 30, f"{TOPICS[0]} or {TOPICS[1]}"),
    ],
)
def test_an_unknown_topic_is_refused_with_the_nearest_or_the_page_that_speaks_of_it(typed: str, near: str) -> None:
    with pytest.raises(SettingsError, match=f"topic: there is none called “{typed}”: try {near}"):
        manual(typed)


def shown(text: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of a page on a terminal of this width, without colours."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("pydoc.pager", print)
    monkeypatch.setenv("COLUMNS", str(width))
    show(text)
    return re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()


@pytest.mark.parametrize("width", [80, 200])
def test_on_a_terminal_prose_is_broken_and_a_command_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    command = f"batch-share run {'a' * 120}.csv"
    text = f"# Title: it\n\n{'word ' * 60}\n\n```sh\n{command}\n```\n"
    lines = shown(text, width, monkeypatch, capsys)
    assert f"    {command}" in lines
    assert max(len(line) for line in lines if command not in line) <= min(width, 100)


def test_every_page_can_be_shown_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for topic in TOPICS:
        lines = {line.rstrip() for line in shown(page(topic), 80, monkeypatch, capsys)}
        for fence in (token for token in Markdown(page(topic)).parsed if token.type == "fence"):
            assert lines.issuperset(f"    {line}".rstrip() for line in fence.content.splitlines())
