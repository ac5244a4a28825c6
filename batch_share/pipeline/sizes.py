"""How many shares go in a call. No page says, so an account's refusals teach it, and it is remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from batch_share.leadsquared.account import AccountMemory

MOST: Final = 25
"""As many as a bulk call posts activities; no page gives a maximum."""


class Sizes:
    """What is tried, `most` shares in a call: the setting, else what an earlier run has learnt of the account."""

    def __init__(self, setting: int | None, memory: AccountMemory) -> None:
        self._memory = memory
        self._accepted = 1
        self.most = setting or memory.account.share_batch or MOST

    def accepted(self, size: int) -> None:
        """A call of this size was accepted."""
        self._accepted = max(self._accepted, size)
        if size > (self._memory.account.share_batch or size):
            self._memory.learn_share_batch(size)

    def refused(self, size: int, parts: int) -> None:
        """A call of this size was refused, though every row of it was accepted in calls of at most `parts`.

        So no row is to blame, but their number; unless that was taken before.
        """
        most = max(self._accepted, parts)
        if size > self._accepted and most < self.most:
            self.most = most
            self._memory.learn_share_batch(most)
