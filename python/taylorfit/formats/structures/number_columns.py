"""Numbers of atom lines, converted together: most of the time that text files of structures take."""

from __future__ import annotations

from importlib import import_module

import numpy as np

_text = import_module("._text", __package__.partition(".")[0])


def number_columns(rows: list[list[str]], begin: int, end: int) -> np.ndarray | None:
    """Return the (n_row, end - begin) numbers in columns of lines, each a list of words, as `float` would.

    None if one of the words is no plain number; `float` takes more, such as nan or 1_000.
    """
    values = _text.columns(rows, begin, end)
    return None if values is None else np.ndarray((len(rows), end - begin), np.float64, values)
