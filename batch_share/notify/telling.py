"""Telling whoever the setting `notify` names: a webhook, or a file that gets one line of JSON a run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batch_share.errors import SettingsError
from batch_share.notify.message import Notice, for_chat

if TYPE_CHECKING:
    from pydantic import SecretStr

FILE: Final = "file:"
_BEGINS: Final = b'{"at": '
_OTHER: Final = "it holds something else than such lines"


def check_target(target: SecretStr) -> None:
    """Raises SettingsError, which does not name it, for a file to which nothing should be added."""
    file = _file(target)
    if file is not None and not _is_for_lines(file):
        raise SettingsError("notify", f"the file can't be added to, since {_OTHER}: name another one")


async def tell(target: SecretStr, notice: Notice) -> str | None:
    """Tell `target`. None if that was done, else one sentence that says why not and does not name the target."""
    file = _file(target)
    if file is not None:
        return _append(file, notice)
    from batch_share.notify.webhook import post  # noqa: PLC0415 - only where there is one

    problem = await post(target, for_chat(notice.text))
    return problem and f"The webhook was not told how it ended ({problem}). The run itself is not changed by that."


def _file(target: SecretStr) -> Path | None:
    """The file that is to be told; None for a webhook."""
    named = target.get_secret_value()
    return None if "://" in named else Path(named.removeprefix(FILE))


def _is_for_lines(file: Path) -> bool:
    """Whether there is nothing in a file, or it begins as one of ours: a sheet or a ledger would be spoilt."""
    try:
        if not file.is_file():
            return True
        with file.open("rb") as begun:
            return begun.read(len(_BEGINS)) in {b"", _BEGINS}
    except (OSError, ValueError):  # whoever adds to it says why it can't be
        return True


def _append(file: Path, notice: Notice) -> str | None:
    if not _is_for_lines(file):
        why = f"since {_OTHER}"
        return f"The file that `notify` names was not written, {why}. The run itself is not changed by that."
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
