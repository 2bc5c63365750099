"""Reference data: checks, neighbouring frames, surveys, proposed descriptors."""
