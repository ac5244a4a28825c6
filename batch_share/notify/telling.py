"""Telling whoever the setting `notify` names: a webhook, or a file that gets one line of JSON a run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batch_share.notify.message import Notice, for_chat

if TYPE_CHECKING:
    from pydantic import SecretStr

FILE: Final = "file:"


async def tell(target: SecretStr, notice: Notice) -> str | None:
    """Tell `target`. None if that was done, else one sentence that says why not and does not name the target."""
    if "://" not in target.get_secret_value():
        return _append(Path(target.get_secret_value().removeprefix(FILE)), notice)
    from batch_share.notify.webhook import post  # noqa: PLC0415 - only where there is one

    problem = await post(target, for_chat(notice.text))
    return problem and f"The webhook was not told how it ended ({problem}). The run itself is not changed by that."


def _append(file: Path, notice: Notice) -> str | None:
    line = json.dumps(notice.as_json(), ensure_ascii=False) + "\n"
    try:
        handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(handle, "wb") as out:  # noqa: PTH123 - Path.open can't say who may read a new file
            out.write(line.encode("utf-8", "replace"))
    except (OSError, ValueError) as error:
        # Not its name: it may be a webhook's URL whose https:// was forgotten.
        why = (error.strerror if isinstance(error, OSError) else None) or "its name can't be used"
        return f"The file that `notify` names was not written ({why}). The run itself is not changed by that."
    return None
