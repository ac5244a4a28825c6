"""The way of a row, alone or 25 to a call: intent, activity, intent, share, and later what became of it.

Calls are paced, noted in the ledger before they leave and settled there when answered; nothing is repeated that may
have been done. Nothing here reads a sheet, chooses rows or opens a ledger: that is for the jobs above.
"""
