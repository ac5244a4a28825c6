"""The page for people without a terminal: served on this machine alone, resting on the jobs of the library.

`door` says who may come in, `shelf` keeps the sheets that were dropped, `desk` does the work on one of them,
`words` says how it stands, `server` answers the browser. What is shown comes from the ledgers and the jobs.
"""
