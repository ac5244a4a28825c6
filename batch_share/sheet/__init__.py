"""Sheets as text: cells with their true row numbers, columns found by their headers, rows checked.

From a file that anybody may have made to rows that say what they ask for, or what is wrong with them. Nothing here
knows what an account or a ledger holds, and nothing is changed on disk.
"""
