"""batch_share: share LeadSquared leads with sales users from a sheet, through a ledger that tells the truth."""

__version__ = "0.1.0"
