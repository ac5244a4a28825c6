"""Which column holds what, as people say it: `--map "Owner mail=User Email"`, or a TOML file that can be kept.

::

    [columns]
    "Owner mail" = "User Email"
    "Remarks" = "Note"
    "Old owner" = "ignore"
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from batch_share.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from batch_share.outputs import Named


def read_mapping(file: Path | None, options: Sequence[str]) -> dict[str, str]:
    """By header, what its column holds; an option wins over the file. Raises SettingsError."""
    mapping = _from_file(file) if file is not None else {}
    for option in options:
        header, equals, name = option.rpartition("=")
        if not equals or not header.strip() or not name.strip():
            raise SettingsError(
                "map", f'{option!r} is no mapping: write "your column=field", "Owner mail=User Email"'
            )
        mapping[header.strip()] = name.strip()
    return mapping


def write_mapping(target: Named, mapping: Mapping[str, str]) -> None:
    """Write a mapping file. Raises SettingsError."""
    import tomli_w  # noqa: PLC0415 - only when one is saved

    with target.written() as temporary:
        temporary.write_text(tomli_w.dumps({"columns": dict(mapping)}), encoding="utf-8")


def _from_file(file: Path) -> dict[str, str]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError("mapping", f"{file} can't be read ({error.strerror})") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise SettingsError("mapping", f"{file} is not valid TOML ({error})") from None
    columns = content.get("columns")
    if not isinstance(columns, dict) or not all(isinstance(name, str) for name in columns.values()):
        raise SettingsError("mapping", f'{file} has no table [columns] with lines as "Owner mail" = "User Email"')
    return columns
