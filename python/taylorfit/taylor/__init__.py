"""From forces to energies of displaced copies: displacements, Taylor energies, truncation errors, names of copies."""
