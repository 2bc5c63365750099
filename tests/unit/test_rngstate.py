"""gfortran's random numbers and ænet's test set from train.rngstate."""

from __future__ import annotations

import struct
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taylorfit.errors import FormatError, InputError, TaylorfitError
from taylorfit.formats.aenet import rngstate

# Drawn by a Fortran program compiled with gfortran 12.2
DRAWN = {
    (0,) * 8: [0.47107760488335659, 0.11734613135938743, 0.88488367539326462, 0.18629752308065251, 0.27928682637303459],
    tuple(range(1, 9)): [
        0.47107089936082125,
        0.11734479025488309,
        0.35754797210216693,
        0.31813480208419698,
        0.69675380000569165,
    ],
    # The state of ../shared/golden/run/init/train.rngstate
    (-1179865212, -631188537, 406018010, -1102479984, -1318692673, 2146595658, 1249834208, -869587543): [
        0.04706633189439924,
        0.25133073768498504,
        0.35819114552133380,
        0.61627684393348547,
        0.24050809705867549,
        0.99588399251707371,
        0.62318062965281618,
        0.62946465086469350,
    ],
}
GOLDEN_WORDS = list(DRAWN)[2]
GOLDEN_TEST_SET = [0, 10, 21, 27, 37, 59]


@pytest.mark.parametrize("words", DRAWN)
def test_draws_are_those_of_gfortran(words: tuple[int, ...]) -> None:
    assert list(islice(rngstate.draw(words), len(DRAWN[words]))) == DRAWN[words]


def test_test_set_is_that_of_the_golden_run() -> None:
    assert rngstate.choose_test_set(GOLDEN_WORDS, 60, 10.0) == GOLDEN_TEST_SET


def test_golden_state_file_gives_the_test_set(shared: Path, tmp_path: Path) -> None:
    path = shared / "golden" / "run" / "init" / "train.rngstate"
    assert rngstate.read_rngstate(path) == GOLDEN_WORDS
    assert rngstate.rngstate_test_set(path, 60, 10.0) == GOLDEN_TEST_SET
    rngstate.write_rngstate(tmp_path / "again", rngstate.read_rngstate(path))
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


@given(words=st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 8), n=st.integers(0, 300), percent=st.floats(0, 100))
def test_test_set_has_the_right_size_and_order(words: tuple[int, ...], n: int, percent: float) -> None:
    chosen = rngstate.choose_test_set(words, n, percent)
    assert chosen == sorted(set(chosen)) and all(0 <= s < n for s in chosen)
    assert abs(len(chosen) - n * percent / 100) < 1 + 1e-9


def test_words_round_trip(tmp_path: Path) -> None:
    rngstate.write_rngstate(tmp_path / "state", GOLDEN_WORDS)
    assert rngstate.read_rngstate(tmp_path / "state") == GOLDEN_WORDS
    with pytest.raises(InputError, match="output exists"):
        rngstate.write_rngstate(tmp_path / "state", GOLDEN_WORDS, overwrite=False)
    with pytest.raises(InputError, match="random state"):
        rngstate.write_rngstate(tmp_path / "state", GOLDEN_WORDS[:7])


def test_state_of_an_old_gfortran_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(struct.pack("<iii", 4, 33, 4))
    with pytest.raises(FormatError, match="another generator"):
        rngstate.read_rngstate(tmp_path / "state")


@settings(database=None)
@given(content=st.binary(max_size=60))
def test_garbage_is_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage"
    path.write_bytes(content)
    with pytest.raises(TaylorfitError):
        rngstate.read_rngstate(path)
