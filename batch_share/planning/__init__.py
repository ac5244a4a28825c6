"""From a sheet to what will happen: read, looked up, compared with what is known, taken into the ledger or shown.

Whom a row means is decided here, and nowhere below. Nothing here posts an activity or shares a lead.
"""
