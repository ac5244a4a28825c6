"""What people get back: the sheet answered row by row, the failed rows, the report, the totals, the notice.

All of it is made from a ledger, at any time, and every sentence for people is made here. Nothing here calls
LeadSquared or changes a row.
"""
