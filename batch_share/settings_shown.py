"""The settings in force as a person is shown them: each with where it comes from, and the keys unseen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch_share.settings import origins
from batch_share.settings_file import KEYS

if TYPE_CHECKING:
    from batch_share.settings import Settings

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
    return [Shown(name, value, found.get(name, DEFAULT)) for name, value in _plain(settings).items()]


def _plain(settings: Settings) -> dict[str, Any]:
    """No key leaves its SecretStr: only whether it is there."""
    keys = {name: bool(getattr(settings, name)) for name in KEYS}
    values = settings.model_dump(mode="json", exclude=set(KEYS))
    return _flat({"host": values.pop("host"), **keys, **values})


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        parts = {f"{name}.{part}": inner for part, inner in value.items()} if isinstance(value, dict) else None
        flat |= {name: value} if parts is None else parts
    return flat
