"""The files of ænet: training sets, potentials, setups, derivatives; binary and text."""
