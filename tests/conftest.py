"""What all tests share: no keyring, since this machine's own may hold real keys, or ask for a password."""

from __future__ import annotations

import os

os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"  # for the processes that tests start, too
