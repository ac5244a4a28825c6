"""A keyring for tests, in the file that TEST_KEYRING names: PYTHON_KEYRING_BACKEND=keyring_in_file.InFile."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError


class InFile(KeyringBackend):
    """Keeps everything in one JSON file."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        """What was set."""
        return self._read().get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep it."""
        self._write(self._read() | {f"{service} {username}": password})

    def delete_password(self, service: str, username: str) -> None:
        """Remove it."""
        kept = self._read()
        if kept.pop(f"{service} {username}", None) is None:
            raise PasswordDeleteError
        self._write(kept)

    @staticmethod
    def _read() -> dict[str, str]:
        file = Path(os.environ["TEST_KEYRING"])
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}

    @staticmethod
    def _write(kept: dict[str, str]) -> None:
        Path(os.environ["TEST_KEYRING"]).write_text(json.dumps(kept), encoding="utf-8")
