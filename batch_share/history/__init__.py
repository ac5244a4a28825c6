"""The index of what ran on this machine: every ledger, every run, and the shares that are still live."""
