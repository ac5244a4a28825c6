"""What an activity can be found by when the answer to its call was lost.

Posting is not idempotent, so a row whose call may or may not have arrived is looked up before anything is sent for
it again. The marker is the same for every attempt of a row, and no other row of any ledger has it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from batch_share.ledger.states import Stage

_MARKER: Final = re.compile(r"^(?:\[bs-[a-z2-7]{16}\]|bs-[a-z2-7]{16}$)", re.MULTILINE)


def marker_of(key: str, step: Stage) -> str:
    """The marker of a row's step; `key` is the row's, which its ledger's job is part of."""
    digest = hashlib.blake2b(f"{key}\n{step}".encode(), digest_size=10).digest()
    # Letters and digits in one case: an account may fold it, and its filters look for markup.
    return f"bs-{base64.b32encode(digest).decode().lower()}"


def in_note(marker: str) -> str:
    """A marker as it stands at the start of a note, where nothing cuts it off; a custom field holds it bare."""
    return f"[{marker}]"


def markers_in(said: str) -> frozenset[str]:
    """The markers, as they were written, in texts of lower case, one to a line.

    Only at the start of a note or as the whole of a field: somebody's note may quote another row's.
    """
    return frozenset(_MARKER.findall(said))
