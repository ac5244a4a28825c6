"""Work that is handed over: jobs that wait in a store, the workers that do them, and schedules.

Nothing here is needed for safety: whoever works on a ledger holds its lock, and that of its account, by the one
connection that writes its intents. What is due is a question to the store, which any worker may ask at any time.
"""
