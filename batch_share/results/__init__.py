"""What people get back: the sheet answered row by row, and the totals."""
