"""Processes of a benchmark's own: sandboxes with any options, and jobs whose time and memory are measured alone.

Where the system lets us choose, sandboxes live on one core and what is measured on another.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from processes import ROOT, SandboxProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def cores() -> tuple[int, int] | None:
    """The core for what is measured and the one for sandboxes; None where there is one, or none can be chosen."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    there = sorted(os.sched_getaffinity(0))
    return (there[0], there[-1]) if len(there) > 1 else None


def pin(core: int | None) -> None:
    """Stay on `core` from now on, threads to come included."""
    if core is not None:
        os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def sandbox_of(**options: Any) -> Iterator[SandboxProcess]:
    """A sandbox with these options (rates as text) on a free port, in a process that ends with the context."""
    chosen = cores()
    reported = json.dumps([chosen and chosen[1], options])
    with _python("benchmarks.serving", reported) as process:
        assert process.stdout is not None
        found = re.search(r"http://[\d.]+:\d+", process.stdout.readline())
        assert found is not None, "the sandbox did not start"
        try:
            yield SandboxProcess(found[0])
        finally:
            process.send_signal(signal.SIGINT)


def measured(job: str, folder: Path, **arguments: Any) -> dict[str, Any]:
    """Do a job of `jobs` in a process of its own, in `folder`; its seconds, memory, and whatever it found."""
    chosen = cores()
    reported = json.dumps([chosen and chosen[0], arguments])
    with _python("benchmarks.jobs", job, reported, folder=folder) as process:
        out, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the job {job!r} failed")
    return dict(json.loads(out.splitlines()[-1]))


def _python(*arguments: str, folder: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *arguments], cwd=folder or ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    )


def environment(**own: str) -> dict[str, str]:
    """The environment without what it says of batch_share, and with the way to this very code."""
    foreign = {name: value for name, value in os.environ.items() if not name.startswith("BATCH_SHARE_")}
    path = [str(ROOT), str(ROOT / "tests"), *filter(None, [foreign.get("PYTHONPATH")])]
    return foreign | {"PYTHONPATH": os.pathsep.join(path)} | own
