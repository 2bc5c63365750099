"""Potentials in use: finding their files, evaluation through ASE, extrapolation, relaxation."""
