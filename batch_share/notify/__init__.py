"""Telling others how a job ended: a webhook, or a line in a file. It never changes how the job itself ends."""
