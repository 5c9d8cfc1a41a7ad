"""What a person sees in the terminal: tables, lines of progress, text of a report."""
