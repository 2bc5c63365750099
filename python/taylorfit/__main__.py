"""The program ``taylorfit``, also as ``python -m taylorfit``.

`run_command` is the way in for scripts that run commands in their own process.
"""

import gc
import sys

# Modules and thousands of structures are many objects, but no circles: looking for these takes a tenth of start-up.
# New objects after which Python looks for circles of them, and how many such looks make one at older objects
gc.set_threshold(100_000, 20, 100)

from .commands.cli import main, run_command  # noqa: E402

__all__ = ["program", "run_command"]


def program() -> int:
    """Run the command line that this process was started with, and ends with; return its exit code."""
    try:
        return main()
    finally:
        # As it ends Python looks for circles once more: a fifth of what a small job takes beyond NumPy
        gc.freeze()


if __name__ == "__main__":
    sys.exit(program())
