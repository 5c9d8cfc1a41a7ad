"""Output in the terminal: tables, progress, and texts of a report."""
