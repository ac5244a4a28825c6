"""The LeadSquared API: what to send, what an answer means, how fast, and the thin adapter to aiohttp.

Every fact about the API stands here, and every guess in `guesses`. Nothing here knows rows, sheets or ledgers, and
only `client` opens a connection.
"""
