"""``python -m taylorfit``, and the way in for scripts that run commands in their own process (`run_command`)."""

import sys

from .commands.cli import main, run_command

__all__ = ["run_command"]

if __name__ == "__main__":
    sys.exit(main())
