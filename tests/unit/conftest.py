"""Workbooks are parsed in the process of the test; that of its own which parses them has its own tests."""

from __future__ import annotations

import json
from typing import Any, Self

import pytest

from batch_share.sheet import workbook
from batch_share.sheet.parsing import answers


class Here(workbook._Parser):
    """Asks and answers itself."""

    def __enter__(self) -> Self:
        self._asked: list[Any] = []
        said = answers(self.path, self.limits, iter(self._asked.pop, None))
        self._lines = (json.dumps(each).encode() + b"\n" for each in said)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _line(self) -> bytes:
        return next(self._lines, b"")

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
