"""Structure files: XSF by our own reader, all others through ASE."""
