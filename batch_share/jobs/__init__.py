"""What a person can ask for, each job from top to bottom: from opening the ledger to the written results.

A job puts the rooms below together and decides nothing of its own about rows. Nothing here asks a person or prints:
whoever looks on does.
"""
