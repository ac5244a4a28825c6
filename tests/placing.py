"""Files that a person names for an output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_share.outputs import Named

if TYPE_CHECKING:
    from pathlib import Path


def named(target: Path, option: str = "output") -> Named:
    """This file, named by an option; the list of what was written so lies beside it."""
    return Named(option, target, target.parent / "data")
