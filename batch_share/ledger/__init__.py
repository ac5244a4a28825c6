"""The ledger: the only truth about what was asked for, what was sent and what came of it.

States and their transitions, tables, queries, and which ledgers this machine has. Nothing here makes a call, reads
a sheet or words a sentence for people.
"""
