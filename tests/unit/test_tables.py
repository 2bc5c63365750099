"""Tables of text: plain in pipes, by rich on a terminal."""

from __future__ import annotations

import io
import re

import pytest

from taylorfit.tools.tables import Table, print_table, text_lines

TABLE = Table(
    ("member", "test RMSE\nmeV/atom", "status"),
    (("01", "1.25", "finished"), ("02", "10.5", "[bold]"), ("best", "1.25", "")),
    numeric=True,
    left=(0, -1),
    rules=(2,),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_are_aligned_with_titles_of_several_lines_and_rules() -> None:
    assert text_lines(TABLE) == [
        "member  test RMSE  status",
        "         meV/atom",
        "-------------------------",
        "01           1.25  finished",
        "02           10.5  [bold]",
        "-------------------------",
        "best         1.25",
    ]


def test_pipes_get_the_plain_lines_however_wide(capsys: pytest.CaptureFixture[str]) -> None:
    wide = Table(("name", "value"), (("x" * 300, "1"),))
    print_table(wide, "  ")
    assert capsys.readouterr().out.splitlines() == ["  " + line for line in text_lines(wide)]


def test_a_terminal_gets_the_cells_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    print_table(TABLE)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())
    assert "[bold]" in shown and "meV/atom" in shown and "─" in shown
    assert max(map(len, shown.splitlines())) <= 60
