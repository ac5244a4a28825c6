"""From a sheet to shared leads: take the sheet in, post and share row by row, follow up; all through the ledger."""
