"""From a sheet to shared leads: take the sheet in, post and share row by row, follow up. Each step works on the ledger."""
