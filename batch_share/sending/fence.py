"""An account that several hosts call: by a store, one driver at a time, and what is known of it there."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from batch_share.common import boot_time
from batch_share.leadsquared.account import ASK_AGAIN, Account, AccountMemory, AccountTurn, account_name
from batch_share.leadsquared.guesses import DAY_ZONE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batch_share.common import Holder
    from batch_share.ledger.accounts import Accounts


class StoredTurn(AccountTurn):
    """The turn to call an account from any host: it is the store's to give, by names that are those of files here.

    While nobody knows which account a key is of, it is that of all at its `host`.
    """

    def __init__(
        self, table: Accounts, file: Path, on_wait: Callable[[Holder], None], host: str, *, is_known: bool
    ) -> None:
        super().__init__(file, on_wait)
        self._table, self._host, self._is_known = table, host, is_known
        self._names: set[str] = set()

    @property
    def is_held(self) -> bool:
        """Whether it is ours now."""
        return self.file.name in self._names

    async def take(self) -> None:
        """Wait until nobody else has it. Raises LedgerError if the store is lost."""
        all_of_host = None if self._is_known else f"{account_name(self._host)}.host"
        try:
            while not self.is_held:
                before = set(self._table.kept)
                holder = await self._table.take(self.file.name, self._host, all_of_host)
                if holder is None:
                    self._names = set(self._table.kept) - before
                    return
                self.holder = holder
                if not self.is_awaited:
                    self.is_awaited = True
                    self._on_wait(holder)
                await asyncio.sleep(ASK_AGAIN)
        finally:
            self.is_awaited = False

    def only(self, file: Path) -> AccountTurn:
        """The turn of this file alone: taken from this one, which is to be given back, or yet to be taken."""
        turn = StoredTurn(self._table, file, self._on_wait, self._host, is_known=True)
        if file.name in self._names:
            self._names.remove(file.name)
            turn._names = {file.name}
        return turn

    def give_back(self) -> None:
        """Let another have it. Once is enough, and twice does no harm."""
        self._table.give_back(*self._names)
        self._names.clear()


class StoredMemory(AccountMemory):
    """What is known of an account on all hosts; this machine's file has it too, for whoever looks without a store.

    The calls of a host that was cut off may still be under way, however long ago its lock was given to another: a
    whole period is waited for them, whatever a clock says.
    """

    def __init__(self, table: Accounts, file: Path, host: str) -> None:
        super().__init__(file, host=host)
        self._table = table

    def open(self) -> None:
        """Read what is known of it, and of all that may be the same. Raises as that of a file."""
        super().open()
        for name in self._table.kept:
            if name != self._file.name:
                self.heed(self._file.with_name(name))

    def heed(self, file: Path) -> Account:
        """Wait for its calls on any host, too; what is known there, else here."""
        known, (text, age) = super().heed(file), self._table.kept.get(file.name, ("", 0.0))
        self._heeded = boot_time()
        if text:
            known = Account.read(text)
            age = age if known.closed else 0.0
            self._age = min(age, age if self._age is None else self._age)
            self._was_closed = self._was_closed and known.closed
            self._period_before = max(self._period_before, known.period, known.rate.period if known.rate else 0.0)
        return known

    def move(self, file: Path) -> None:
        """As of a file."""
        before = self._file.name
        super().move(file)
        self._table.drop(before)

    def seconds_to_wait(self, period: float) -> float:
        """As of a file, less what went by since the account is ours."""
        return max(0.0, super().seconds_to_wait(period) - (boot_time() - self._heeded))

    def _today(self) -> str:
        return self._table.today().astimezone(DAY_ZONE).date().isoformat()

    def _write(self) -> None:
        try:
            super()._write()
        finally:
            text = json.dumps(vars(self.account) | {"calls": self._written}, default=str)
            self._table.put(self._file.name, text, max(0.0, self._wall_clock() - self._last))
            self.noting = self._table.noting
