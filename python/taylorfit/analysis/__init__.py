"""Errors and scans in numbers."""
