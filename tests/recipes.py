"""The manual's recipes for schedules: their very text, and what they make of it whom they are for."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from readme_reference import PAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

INSTALLED, FOLDER = "/opt/batch-share/bin/batch-share", "/srv/leads"
"""Where the manual has the command and the sheet."""


def snippet(name: str, page: str = "schedules") -> str:
    """The example of this name on a page of the manual."""
    found = re.search(
        rf"<!-- try: {name} -->\n```\w*\n(.*?)^```", PAGES[page].read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found is not None
    return found[1]


def units(here: Callable[[str], str]) -> tuple[configparser.ConfigParser, configparser.ConfigParser]:
    """The service and the timer of systemd, as they would stand on this machine."""
    service, timer = configparser.ConfigParser(interpolation=None), configparser.ConfigParser(interpolation=None)
    for parser, name in ((service, "service"), (timer, "timer")):
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(here(snippet(name)))
    return service, timer


class Failed(Exception):
    """What Airflow's exceptions are here; `again`: the task may be tried once more."""

    again = True


class FailedForGood(Failed):
    again = False


def run_task(text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The one task of the manual's DAG, without Airflow: its decorators hand the functions through."""
    tasks: list[Callable[[], str]] = []
    decorators, exceptions = ModuleType("airflow.decorators"), ModuleType("airflow.exceptions")
    plain: Any = lambda **_: lambda function: function  # noqa: E731
    keep: Any = lambda **_: lambda function: lambda: tasks.append(function)  # noqa: E731
    vars(decorators).update(dag=plain, task=keep)
    vars(exceptions).update(AirflowException=Failed, AirflowFailException=FailedForGood)
    for module in (ModuleType("airflow"), decorators, exceptions):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(ast.parse(text), "dag.py", "exec"), {})
    (task,) = tasks
    return task()
