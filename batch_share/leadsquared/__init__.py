"""The LeadSquared API: what to send, what an answer means, how fast, and the thin adapter to aiohttp."""
