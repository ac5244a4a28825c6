"""The command `sandbox`: its options are the sandbox's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from batch_share.cli.app import app
from batch_share.errors import SettingsError
from batch_share.sandbox import SandboxOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch_share.sandbox import Sandbox


def served(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> SandboxOptions:
    """The options of the sandbox that a command line would serve."""
    kept: list[SandboxOptions] = []

    async def serve(options: SandboxOptions, _announce: Callable[[Sandbox], None], _wrappers: object) -> None:
        kept.append(options)

    monkeypatch.setattr("batch_share.sandbox.serve_forever", serve)
    CliRunner().invoke(app, ["sandbox", *arguments], catch_exceptions=False)
    (options,) = kept
    return options


def test_an_account_is_as_documented_unless_something_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    options = served(monkeypatch)
    plain = SandboxOptions(port=8080, latency=0.15)
    own = replace(options, start=0, access_key=plain.access_key, other_access_keys=())
    assert own == plain
    assert options.other_access_keys == (plain.access_key,), "which the manual gives"


def test_each_start_is_an_account_of_its_own_unless_a_seed_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    started = [served(monkeypatch) for _ in range(5)]
    assert len({each.start for each in started} - {0}) == len({each.access_key for each in started}) == 5
    assert {served(monkeypatch, "--seed", "1") for _ in range(2)} == {SandboxOptions(port=8080, latency=0.15)}


@pytest.mark.parametrize(
    ("arguments", "option", "value"),
    [
        (["--dialect", "swapped"], "dialect", "swapped"),
        (["--without", "ByIds,Users"], "without", ("ByIds", "Users")),
        (["--without", "helpers"], "without", ("helpers",)),
        (["--owners", "both"], "owners", "both"),
        (["--paging", "oldest-first"], "paging", "oldest-first"),
        (["--lead-lists", "as-text"], "lead_lists", "as-text"),
        (["--lead-page", "200"], "lead_page", 200),
        (["--one-request-id"], "one_request_id", True),
        (["--faults", "failed-with-id=5%"], "faults", "failed-with-id=5%"),
    ],
)
def test_an_account_that_answers_otherwise_can_be_had(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], option: str, value: Any
) -> None:
    options = served(monkeypatch, *arguments)
    assert getattr(options, option) == value
    assert getattr(options, option) != getattr(SandboxOptions(), option)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dialect", "klingon"], "sandbox: dialect can't be 'klingon': choose plain, lower, "),
        (["--without", "Users,Nothing"], "sandbox: there is no endpoint 'Nothing': choose Status, "),
        (["--owners", "nobody"], "sandbox: owners can't be 'nobody': choose id, "),
        (["--paging", "none"], "sandbox: paging can't be 'none': choose usual, "),
    ],
)
def test_what_there_is_not_is_refused_with_the_choices(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        served(monkeypatch, *arguments)
    assert str(caught.value).startswith(words)
