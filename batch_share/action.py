"""What a row of a sheet asks to be done."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """Share the lead with the user, take that share back, or do both: take the others' back, then share."""

    SHARE = "share"
    REVOKE = "revoke"
    REASSIGN = "reassign"

    @property
    def shares(self) -> bool:
        """Whether its user gets access."""
        return self is not Action.REVOKE

    @property
    def takes_back(self) -> bool:
        """Whether somebody loses access."""
        return self is not Action.SHARE
