"""Files and text forms of structures, training sets, potentials and results."""
