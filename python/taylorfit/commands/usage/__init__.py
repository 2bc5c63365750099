"""How each command is called: its arguments and the texts of ``--help``; nothing here waits for NumPy."""
