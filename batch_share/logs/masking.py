"""Taking people out of words: e-mail addresses, Ids and long numbers."""

from __future__ import annotations

import re
from typing import Final

_PERSONAL: Final = (
    (re.compile(r"[^\s@<>'\"(),;]+@[^\s@<>'\"(),;]+"), "<e-mail>"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\d(?:[ -]?\d){5,}"), "<digits>"),
)


def masked(words: object) -> str:
    """The words without what could say who a person is."""
    text = str(words)
    for personal, mask in _PERSONAL:
        text = personal.sub(mask, text)
    return text
