"""A directory that knows everybody, for tests in which nobody is looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_share.ledger.records import Instruction
from batch_share.planning.directory import Directory
from batch_share.sheet.columns import Field

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch_share.sheet.rows import Problem, ShareRow
    from batch_share.sheet.table import RawRow


class Everybody(Directory):
    """Takes the Ids and numbers that a row says for true."""

    def resolve(self, row: ShareRow, raw: RawRow, header: Callable[[Field], str]) -> Instruction | list[Problem]:
        """The instruction, as the row says it."""
        leads, users = dict(row.leads), dict(row.users)
        return Instruction(
            lead_id=leads.get(Field.LEAD_ID, ""),
            lead_number=leads.get(Field.LEAD_NUMBER, ""),
            user_id=users[Field.USER_ID],
            access=row.access,
            duration=row.duration,
            event=int(row.event),
            note=row.note,
            start=row.start.replace(tzinfo=None) if row.start else None,
            action=row.action,
        )
