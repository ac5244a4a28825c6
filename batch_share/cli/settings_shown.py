"""The settings as a person is shown them: a file to begin with, each commented out, and those in force.

Of those in force each is told with where it comes from, and the keys are unseen.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tomli_w

from batch_share.cli.options import SETTING_TEXTS
from batch_share.errors import SettingsError
from batch_share.outputs import temporary_for
from batch_share.settings import Settings, origins

if TYPE_CHECKING:
    from pathlib import Path

KEYS = ("access_key", "secret_key")
_HEAD = """\
# Settings of batch_share. Take the # away from a line and change it; the others keep their default, as shown.
# The keys (access_key, secret_key) do not belong here: `batch-share login` keeps them in the system's keyring; or
# set BATCH_SHARE_ACCESS_KEY and BATCH_SHARE_SECRET_KEY in the environment, or in a .env that only you can read.
"""


def template() -> str:
    """The text of the file. The one table, [sheet], comes last, as TOML wants it."""
    plain = Settings.model_construct().model_dump(mode="json")
    names = sorted((name for name in plain if name not in KEYS), key=lambda name: isinstance(plain[name], dict))
    return "\n".join([_HEAD, *(_setting(name, plain[name]) for name in names)])


def write_template(file: Path) -> None:
    """Write it where nothing is yet. Raises SettingsError."""
    if os.path.lexists(file):
        raise SettingsError(
            str(file),
            "is there already, and was left as it is: name another file",
            problem="There is such a file already, and it was left as it is.",
            hint="Name another file.",
        )
    try:
        with temporary_for(file) as temporary:
            temporary.write_text(template(), encoding="utf-8")
            temporary.replace(file)
    except OSError as error:
        raise SettingsError(
            str(file),
            f"can't be written ({error.strerror})",
            problem=f"The settings file can't be written ({error.strerror}).",
        ) from None


def _setting(name: str, default: Any) -> str:
    field = Settings.model_fields[name]
    unset = " Not set; for example:" if default is None else ""
    value = (field.examples or [""])[0] if default is None else default
    lines = tomli_w.dumps({name: value}).splitlines()
    return "\n".join([f"# {SETTING_TEXTS[name]}{unset}", *(f"# {line}" for line in lines if line), ""])


DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Shown:
    """A setting: `value` as JSON knows it, of a key whether it is set; `origin` is where it comes from."""

    name: str
    value: Any
    origin: str

    @property
    def text(self) -> str:
        """The value on one line, as a settings file or the environment would hold it."""
        if self.name in KEYS:
            return "set" if self.value else "not set"
        if self.value is None or self.value == "":
            return "not set"
        return str(self.value).lower() if isinstance(self.value, bool) else " ".join(str(self.value).split())


def shown(settings: Settings) -> list[Shown]:
    """Every setting, those of a table as `sheet.rows`. Raises SettingsError as `load_settings`."""
    found = origins()
    # No key leaves its SecretStr: only whether it is there.
    keys = {name: bool(getattr(settings, name)) for name in KEYS}
    values = settings.model_dump(mode="json", exclude=set(KEYS))
    limits = {f"sheet.{part}": value for part, value in values.pop("sheet").items()}
    reported = {"host": values.pop("host"), **keys, **values, **limits}
    return [Shown(name, value, found.get(name, DEFAULT)) for name, value in reported.items()]
