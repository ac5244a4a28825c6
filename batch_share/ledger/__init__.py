"""The ledger: the only truth about what was asked for, what was sent and what came of it."""
