"""Molecular dynamics as a test of potentials."""
