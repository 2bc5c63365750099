"""Water clusters (H2O)6 with GFN1-xTB energies and forces: data, setups, input files."""
