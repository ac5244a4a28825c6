"""The manual: a page for each topic, read in a terminal. Heavy imports are inside."""

from __future__ import annotations

import os
import re
import sys
from difflib import get_close_matches
from typing import Annotated, Final, Optional

import typer

from batch_share.errors import SettingsError

TOPICS: Final = (
    "sheets", "page", "team", "results", "shares", "safety", "bulk", "speed", "schedules", "accounts", "store",
    "hosts", "practice", "settings", "programs", "json", "reference",
)  # fmt: skip
"""In the order in which they are wanted. Each page is headed `# Topic: what it is about`."""


def page(topic: str) -> str:
    """The page of a topic as Markdown, without the comments that are for its tests."""
    from importlib.resources import files

    text = files("batch_share").joinpath("manual", f"{topic}.md").read_text("utf-8")
    return re.sub(r"^<!-- .* -->\n", "", text, flags=re.MULTILINE)


def manual(
    topic: Annotated[
        Optional[str],
        typer.Argument(
            metavar="[TOPIC]", help="Which page. Without it, all are listed.", autocompletion=lambda: TOPICS
        ),
    ] = None,
) -> None:
    """Read the manual: its topics, or the page of one.

    Example: batch-share manual sheets
    """
    if topic is None:
        for each in TOPICS:
            typer.echo(f"{each:<11}{page(each).splitlines()[0].partition(': ')[2]}")
        typer.echo("\nRead one with: batch-share manual sheets")
    elif topic in TOPICS:
        show(page(topic))
    else:
        near = get_close_matches(topic.lower(), TOPICS, n=1)
        if not near:  # a word of a page, such as cron: the page that has it most often comes first
            said = {each: page(each).lower().count(topic.lower()) for each in TOPICS}
            near = sorted(filter(said.get, said), key=said.__getitem__, reverse=True)
        raise SettingsError("topic", f"there is none called “{topic}”: try {' or '.join(near or TOPICS)}")


def show(text: str) -> None:
    """Print a page: for a person on a terminal page by page, for a file or another program as it is."""
    if not sys.stdout.isatty():
        typer.echo(text, nl=False)
        return
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.markdown import CodeBlock, Markdown
    from rich.text import Text
    from rich.theme import Theme

    class Whole(CodeBlock):
        """A block of commands whose lines are never broken, so that they can be copied."""

        def __rich_console__(self, _console: Console, _options: ConsoleOptions) -> RenderResult:
            for line in str(self.text).rstrip().splitlines():
                yield Text(f"    {line}", style="cyan", no_wrap=True, overflow="ignore")

    class Page(Markdown):
        elements = {**Markdown.elements, "fence": Whole}  # noqa: RUF012 - as Rich has it

    os.environ.setdefault("LESS", "-FRX")  # keep colours, and end by itself where all fits on the screen
    console = Console(highlight=False, theme=Theme({"markdown.code": "cyan"}))  # on any background
    with console.pager(styles=os.name == "posix"):
        console.print(Page(text), width=min(console.width, 100), crop=False)
