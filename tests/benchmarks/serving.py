"""A sandbox in this process: `python -m benchmarks.serving [CORE, OPTIONS]`, in JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

from batch_share.common import Rate
from batch_share.sandbox import SandboxOptions, serve_forever
from benchmarks.children import pin

if TYPE_CHECKING:
    from batch_share.sandbox import Sandbox


def main(reported: str) -> None:
    """Serve until a signal comes."""
    core, options = json.loads(reported)
    pin(core)
    asyncio.run(serve_forever(_options(options), _announce))


def _options(reported: dict[str, Any]) -> SandboxOptions:
    rates = {name: Rate.parse(reported[name]) for name in ("rate", "bulk_rate") if name in reported}
    return SandboxOptions(**({"port": 0} | reported | rates))


def _announce(sandbox: Sandbox) -> None:
    sys.stdout.write(f"{sandbox.url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
