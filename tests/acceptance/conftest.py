"""A sandbox that commands reach over HTTP, and a shell that knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from processes import FAST, Pause, SandboxProcess, Shell, sandbox_thread, shell_for

from batch_share.common import Rate
from batch_share.sandbox import SandboxOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def pause() -> Pause:
    """What holds a command in the middle of its work, if a test says where that is."""
    return Pause()


@pytest.fixture
def sandbox(pause: Pause) -> Iterator[SandboxProcess]:
    """A quick sandbox of the test's own."""
    reported = SandboxOptions(port=0, rate=Rate.parse(FAST), latency=0.005, processing=0.05)
    with sandbox_thread(reported, pause) as made:
        yield made


@pytest.fixture
def offline(tmp_path: Path) -> Shell:
    """A shell for commands that make no call: where its settings point, nobody listens."""
    return shell_for(SandboxProcess("http://127.0.0.1:9"), tmp_path)


@pytest.fixture
def shell(tmp_path: Path, sandbox: SandboxProcess) -> Shell:
    """A shell whose settings point to the sandbox."""
    return shell_for(sandbox, tmp_path)
