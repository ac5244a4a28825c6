"""Workbooks parsed in the process of the test: one of its own is started for each, which takes as long as a run."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self, cast

from batch_share.sheet import workbook
from batch_share.sheet.parsing import answers

if TYPE_CHECKING:
    from collections.abc import Generator

    import pytest


class Here(workbook._Parser):
    """Asks and answers itself."""

    def __enter__(self) -> Self:
        self._asked: list[Any] = []
        self._said = answers(self.path, self.limits, iter(self._asked.pop, None))
        lines = (json.dumps(each).encode() + b"\n" for each in self._said)
        self._out: Any = SimpleNamespace(readline=lambda _most: next(lines, b""))
        return self

    def __exit__(self, *_: object) -> None:
        cast("Generator[object]", self._said).close()  # with the files that it is reading

    def _ask(self, question: object) -> None:
        self._asked.append(question)


def parse_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no process for a workbook."""
    monkeypatch.setattr(workbook, "_Parser", Here)


def parse_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start one, as in use."""
    monkeypatch.setattr(workbook, "_Parser", Here.__base__)
