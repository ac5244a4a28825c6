"""What README and manual tell of the program and take from it: `make reference` writes it anew.

The manual's lists of settings, commands and options are made from these; the README's screens are those of its
commands, run against a sandbox with the limit of the real API.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer.main
from json_reference import described
from processes import sandbox_process
from screens import reader

from batch_share.cli.app import app
from batch_share.cli.entry import reported_of
from batch_share.cli.manual import TOPICS
from batch_share.cli.options import GROUPS, OPTIONS, SETTING_TEXTS
from batch_share.settings import Settings, SheetLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

README = Path(__file__).parents[1] / "README.md"
PAGES = {topic: README.parent / "batch_share" / "manual" / f"{topic}.md" for topic in TOPICS}


def with_reference(text: str) -> str:
    """The text of README or a page, with the lists of today where it has any."""
    for name, written in {
        "settings": _settings(),
        "reference": _reference(),
        "topics": _topics(),
        "described": described(),
    }.items():
        before, begin, rest = text.partition(f"<!-- {name}: begin -->\n")
        _, end, after = rest.partition(f"<!-- {name}: end -->")
        text = f"{before}{begin}{written}{end}{after}" if begin else text
    return text


def commands() -> dict[str, Any]:
    """The commands by name; those of a group with its name before theirs."""
    return dict(_commands(typer.main.get_command(app)))


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from _commands(each, f"{before}{name} ")
        elif not each.hidden:
            yield f"{before}{name}", each


def _topics() -> str:
    """A table of the manual's pages, each by what its heading says of it."""
    rows = ["| topic | what it is about |", "|---|---|"]
    for topic, file in PAGES.items():
        about = file.read_text("utf-8").splitlines()[0].partition(": ")[2]
        rows.append(f"| [{topic}](batch_share/manual/{file.name}) | {about} |")
    return "\n".join([*rows, ""])


def _settings() -> str:
    """A table of every setting, and of what it is if nobody sets it, but for folders of this machine."""
    plain = Settings.model_construct().model_dump(mode="json")
    rows = ["| setting | what it is for | if not set |", "|---|---|---|"]
    for name, text in SETTING_TEXTS.items():
        default = plain.get(name)
        if name == "sheet":
            limits = SheetLimits().model_dump()
            rows += [f"| {', '.join(f'`sheet.{each}`' for each in limits)} | {text} | "]
            rows[-1] += f"{', '.join(f'`{value}`' for value in limits.values())} |"
            continue
        is_reported = default not in (None, "") and not name.endswith("_folder")
        value = str(default).lower() if isinstance(default, bool) else default
        rows.append(f"| `{name}` | {text} | {f'`{value}`' if is_reported else ''} |")
    return "\n".join([*rows, ""])


def _reference() -> str:
    """Every command with the options that it takes, then what the options are that several take."""
    shared: dict[str, Any] = {}
    lines = []
    for name, command in commands().items():
        arguments = " ".join(param.metavar for param in command.params if param.param_type_name == "argument")
        text = " ".join(command.help.partition("\nExample:")[0].split())
        lines += [f"#### `{f'batch-share {name} {arguments}'.strip()}`", "", text, ""]
        options = [param for param in command.params if param.param_type_name == "option" and param.name != "help"]
        of_table = [param for param in options if param.rich_help_panel]
        if of_table:
            lines += [f"Takes {', '.join(f'`{max(param.opts, key=len)}`' for param in of_table)}.", ""]
            shared |= {param.name: param for param in of_table}
        if own := [_option(param) for param in options if not param.rich_help_panel]:
            lines += [*own, ""]
    for group in GROUPS:
        reported = [_option(shared[name]) for name in OPTIONS if shared[name].rich_help_panel == group]
        lines += [f"#### Options: {group.lower()}", "", *reported, ""]
    return "\n".join(lines)


def _option(param: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*param.opts, *param.secondary_opts])
    return f"- {names}: {reported_of(param)}"


def main() -> None:
    """Write anew what has changed."""
    with sandbox_process() as sandbox, tempfile.TemporaryDirectory() as folder:
        readme = reader(Path(folder), sandbox.url).read(README.read_text("utf-8"))
    README.write_text(with_reference(readme), encoding="utf-8")
    for file in PAGES.values():
        file.write_text(with_reference(file.read_text("utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
