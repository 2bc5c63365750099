"""Reference calculations where a potential needs them: label, select, learn."""
