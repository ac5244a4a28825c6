"""The tables of the index. All of it can be had again from the ledgers, so an older one is not upgraded."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

VERSION: Final = 1

metadata = MetaData()

about = Table("about", metadata, Column("version", Integer, primary_key=True))
"""The version of these tables, in one row."""

ledgers = Table(
    "ledgers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", Text, nullable=False),
    Column("job", String(40), nullable=False),
    Column("host", Text, nullable=False),
    Column("account", String(40)),  # NULL: it was added by somebody whose keys are not known
    Column("sheet_path", Text),
    Column("mark", Text),  # what `live` was made of; NULL: it is to be made
    UniqueConstraint("path", "job"),
)
"""Each ledger, where it was last. One that was begun anew in the place of another is another one."""

runs = Table(
    "runs",
    metadata,
    Column("id", String(8), primary_key=True),
    Column("ledger_id", ForeignKey("ledgers.id"), nullable=False),
    Column("number", Integer, nullable=False),  # in its ledger
    Column("command", String(20), nullable=False),
    Column("sheet", Text),
    Column("started_at", DateTime, nullable=False),
    Column("ended_at", DateTime),  # NULL: it goes on, or was cut off and nobody has looked since
    Column("ended", Text),
    Column("counts", JSON(none_as_null=True)),
    Column("purged_at", DateTime),
    Index("runs_by_start", "started_at"),
    Index("runs_by_ledger", "ledger_id", "number"),
)
"""Each run of a ledger, with its totals."""

live = Table(
    "live",
    metadata,
    Column("ledger_id", ForeignKey("ledgers.id"), primary_key=True),
    Column("row_id", Integer, primary_key=True),
    Column("sheet_row", Integer, nullable=False),
    Column("lead_id", String(36), nullable=False),
    Column("user_id", String(36), nullable=False),
    Column("access", Integer, nullable=False),
    Column("ends_at", DateTime, nullable=False),
    Column("request_id", String(100)),
    Column("run_id", String(8), nullable=False),
    Column("made", Integer, nullable=False),  # in which bringing up to date it was seen
    Index("live_by_pair", "lead_id", "user_id"),
    Index("live_by_end", "ends_at"),
)
"""The shares of each ledger that had not ended when it was last looked at. `access` is 0 where nobody knows whether
it stands: it may have been made, or it is being taken back."""
