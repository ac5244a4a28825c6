"""The help of the whole."""

from __future__ import annotations

import pytest
from readme_reference import commands
from typer.testing import CliRunner

from batch_share.cli.app import app


@pytest.mark.parametrize("width", [80, 120])
def test_no_command_is_described_in_half_a_sentence(width: int) -> None:
    said = CliRunner().invoke(app, ["--help"], terminal_width=width).stdout
    described = said.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in described] == [*commands()]
    assert [line for line in described if not line.endswith(".") or "..." in line or "…" in line] == []
