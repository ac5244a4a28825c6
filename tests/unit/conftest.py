"""Workbooks are parsed in the process of the test; that of its own which parses them has its own tests."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, Self

import pytest

from batch_share.sheet import workbook
from batch_share.sheet.parsing import answers


class Here(workbook._Parser):
    """Asks and answers itself."""

    def __enter__(self) -> Self:
        self._asked: list[Any] = []
        said = answers(self.path, self.limits, iter(self._asked.pop, None))
        lines = (json.dumps(each).encode() + b"\n" for each in said)
        self._out: Any = SimpleNamespace(readline=lambda _most: next(lines, b""))
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _ask(self, question: object) -> None:
        self._asked.append(question)


@pytest.fixture(autouse=True)
def parsed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started for a workbook, which takes as long as hundreds of cases."""
    monkeypatch.setattr(workbook, "_Parser", Here)


@pytest.fixture
def parsed_apart(parsed_here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workbook is parsed in a process of its own, as in use."""
    monkeypatch.setattr(workbook, "_Parser", Here.__base__)
