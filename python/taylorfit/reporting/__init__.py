"""The report of a folder in words and figures, as one page."""
