"""Sheets as text: cells with their true row numbers, columns found by their headers, rows checked."""
