"""Helpers that know nothing of potentials: files written whole, progress, interrupts, jobs."""
