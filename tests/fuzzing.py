"""How long the fuzz tests try, in one place: FUZZ is the number of examples of each test.

Without it they are few, and the same each time, as those of all other tests are: what chance finds is found when
somebody looks for it, and stops nobody who does not.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

_FOUND: Final = Path(__file__).parents[1] / ".hypothesis" / "fuzz"

_EXAMPLES: Final = int(os.environ.get("FUZZ", "0"))

FUZZED: Final = settings(
    max_examples=_EXAMPLES or 50,
    derandomize=not _EXAMPLES,
    database=DirectoryBasedExampleDatabase(_FOUND) if _EXAMPLES else None,
    print_blob=True,
)
"""Decorates a test; a stateful test takes it as its `TestCase.settings`."""

FUZZED_COMMANDS: Final = settings(FUZZED, max_examples=min(500, FUZZED.max_examples // 10))
"""The same for a test whose every example is a command, which takes a second."""
