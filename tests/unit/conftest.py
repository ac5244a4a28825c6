"""Workbooks are parsed in the process of the test; that of its own which parses them has its own tests."""

from __future__ import annotations

import pytest
from parsed_here import parse_apart, parse_here


@pytest.fixture(autouse=True)
def parsed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started for a workbook, which takes as long as hundreds of cases."""
    parse_here(monkeypatch)


@pytest.fixture
def parsed_apart(parsed_here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workbook is parsed in a process of its own, as in use."""
    parse_apart(monkeypatch)
