"""Chance that repeats: every "random" value follows from the seed and from what it is for, never from a state."""

from __future__ import annotations

import uuid

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "sandbox.batch-share.invalid")


def guid(*parts: str | int) -> str:
    """A GUID as LeadSquared writes them: lower case, with dashes. The same parts give the same GUID, always."""
    return str(_uuid(parts))


def fraction(*parts: str | int) -> float:
    """A number in [0, 1) for these parts, evenly spread over all parts."""
    return (_uuid(parts).int >> 80) / (1 << 48)


def _uuid(parts: tuple[str | int, ...]) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, ":".join(map(str, parts)))
