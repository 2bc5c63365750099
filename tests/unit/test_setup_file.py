"""Descriptor setup files: what is read, what is refused and how it is explained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taylorfit.errors import FormatError, InputError
from taylorfit.formats.aenet.setup_file import read_setup, write_setup
from taylorfit.model.descriptor import DescriptorSetup, chebyshev_setup

LOCAL = Path(__file__).parents[1] / "data" / "golden"

CHEBYSHEV = """\
DESCR
  two words
! kept, though it looks like a comment
END DESCR
ATOM Ti
ENV 2
Ti
O
RMIN 0.55d0
BASIS type=Chebyshev
radial_Rc = 8.0 radial_N = 16 angular_Rc = 6.5 angular_N = 4
"""
BEHLER = """\
ATOM O
ENV 2
Ti
O
FUNCTIONS type=Behler2011
5
G=1 type2=O Rc=6.0
G=2 type2=Ti eta=0.3 Rs=2.0D0 Rc=6.5
G=3 type2=O kappa=1.0 Rc=6.0
G=4 type2=Ti type3=O zeta=2.5 lambda=-1.0 eta=.01 Rc=5.0
G=5 type2=O type3=O eta=0.05 lambda= 1.0 zeta = 4 Rc=7
"""


def parsed(tmp_path: Path, text: str) -> DescriptorSetup:
    (tmp_path / "X.stp").write_bytes(text.encode("utf-8", "surrogateescape"))
    return read_setup(tmp_path / "X.stp")


def assert_same(a: DescriptorSetup, b: DescriptorSetup) -> None:
    for field in ("species", "environment", "basis", "r_min", "r_cut", "description"):
        assert getattr(a, field) == getattr(b, field), field
    for field in ("function", "parameters", "neighbours"):
        assert np.array_equal(getattr(a, field), getattr(b, field)), field


def test_chebyshev_setup(tmp_path: Path) -> None:
    setup = parsed(tmp_path, CHEBYSHEV)
    assert (setup.species, setup.environment, setup.basis) == ("Ti", ("Ti", "O"), "Chebyshev")
    assert setup.description == "  two words$$! kept, though it looks like a comment$$"
    assert (setup.r_min, setup.r_cut, setup.n_feature) == (0.55, 8.0, 44)
    assert setup.parameters[0].tolist() == [8.0, 16.0, 6.5, 4.0]
    assert not setup.parameters[1:].any() and not setup.function.any() and not setup.neighbours.any()


def test_behler_setup(tmp_path: Path) -> None:
    setup = parsed(tmp_path, BEHLER)
    assert setup.function.tolist() == [1, 2, 3, 4, 5]
    assert setup.neighbours.tolist() == [[2, 0], [1, 0], [2, 0], [1, 2], [2, 2]]
    # `eta` is not taken from `zeta` before it, as ænet would.
    assert setup.parameters.tolist() == [
        [6.0, 0, 0, 0],
        [6.5, 2.0, 0.3, 0],
        [6.0, 1.0, 0, 0],
        [5.0, -1.0, 2.5, 0.01],
        [7.0, 1.0, 4.0, 0.05],
    ]
    assert (setup.r_cut, setup.r_min, setup.description) == (7.0, 1.0, "")


@pytest.mark.parametrize(
    "old, new",
    [
        ("BASIS type=Chebyshev\n", "BASIS type = Chebyshev ! basis\n\n# a comment\n"),
        ("BASIS type", "basis type"),
        ("ATOM Ti\n", "  atom\tTi   | central\n"),
        ("\n", "\r\n"),
        ("ENV 2\nTi\n", "ENV 2  species\n\n! first\nTi  ! titanium\n% second\n"),
        ("8.0 radial_N = 16", "8.0d0, radial_N=16,"),
        ("angular_Rc = 6.5 angular_N = 4", "angular_N=4 angular_Rc=+65.D-1 # angular part"),
    ],
)
def test_spelling_does_not_matter(old: str, new: str, tmp_path: Path) -> None:
    assert_same(parsed(tmp_path, CHEBYSHEV.replace(old, new)), parsed(tmp_path, CHEBYSHEV))


@pytest.mark.parametrize("angular", ["", "angular_Rc=0 angular_N=0", "angular_Rc = 0.0"])
def test_angular_part_may_be_missing(angular: str, tmp_path: Path) -> None:
    text = "ATOM Si\nENV 1\nSi\nBASIS type=chebyshev\nradial_Rc=6 radial_N=10 " + angular
    setup = parsed(tmp_path, text)
    assert setup.n_feature == 12  # ænet always keeps one angular value
    assert setup.parameters[0].tolist() == [6.0, 10.0, 0.0, 0.0]


@pytest.mark.parametrize("rmin", ["", "RMIN 0.0"])
def test_smallest_distance_defaults_to_that_of_aenet(rmin: str, tmp_path: Path) -> None:
    assert parsed(tmp_path, CHEBYSHEV.replace("RMIN 0.55d0", rmin)).r_min == 1.0


@pytest.mark.parametrize("text", [CHEBYSHEV, BEHLER])
def test_written_setup_is_read_back_unchanged(text: str, tmp_path: Path) -> None:
    setup = parsed(tmp_path, text)
    write_setup(tmp_path / "again.stp", setup)
    assert_same(read_setup(tmp_path / "again.stp"), setup)


def test_eta_is_written_before_zeta(tmp_path: Path) -> None:
    write_setup(tmp_path / "again.stp", parsed(tmp_path, BEHLER))
    for line in (tmp_path / "again.stp").read_text().splitlines():
        if "zeta" in line:
            assert line.index(" eta=") < line.index("zeta=")


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cutoffs=st.tuples(*[st.floats(1e-3, 30.0)] * 2),
    orders=st.tuples(*[st.integers(0, 30)] * 2),
    r_min=st.floats(1e-6, 10.0),
    lines=st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=300), max_size=5),
)
def test_any_setup_round_trips(cutoffs, orders, r_min, lines, tmp_path: Path) -> None:
    description = "".join(f"{line}$$" for line in lines if "$" not in line)
    description = description.encode()[:1024].decode("utf-8", "surrogateescape")
    setup = chebyshev_setup(
        "O",
        ("Ti", "O"),
        radial_cutoff=cutoffs[0],
        radial_order=orders[0],
        angular_cutoff=cutoffs[1],
        angular_order=orders[1],
        r_min=r_min,
        description=description,
    )
    write_setup(tmp_path / "x.stp", setup)
    assert_same(read_setup(tmp_path / "x.stp"), setup)


def test_long_description_is_cut_like_that_of_aenet(tmp_path: Path) -> None:
    setup = parsed(tmp_path, CHEBYSHEV.replace("  two words", "long " * 400))
    assert len(setup.description) <= 1024
    write_setup(tmp_path / "again.stp", setup)
    assert_same(read_setup(tmp_path / "again.stp"), setup)


def test_description_cannot_end_its_own_block(tmp_path: Path) -> None:
    setup = chebyshev_setup("O", ("O",), radial_cutoff=5.0, radial_order=2, description="End descr$$")
    with pytest.raises(InputError, match="end descr"):
        write_setup(tmp_path / "x.stp", setup)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("radial_Rc = 8.0", "radial_Rc = 0.0", "line 11: radial_Rc: found '0.0', expected a positive length"),
        ("radial_Rc = 8.0", "radial_Rc = -8", "line 11: radial_Rc: found '-8'"),
        ("radial_Rc = 8.0", "", "line 11: radial_Rc: found '', expected a number"),
        ("radial_Rc = 8.0", "radial_Rc = nan", "radial_Rc: found 'nan'"),
        ("radial_Rc = 8.0", "radial_Rc = 1d999", "radial_Rc"),
        ("radial_Rc = 8.0", "radial_RC = 8.0", "unknown key: found 'radial_RC', expected radial_Rc"),
        ("radial_Rc = 8.0", "radial_Rc 8.0", "not understood: found 'radial_Rc 8.0"),
        ("radial_Rc = 8.0", "radial_Rc = 8.0 radial_Rc=2", "radial_Rc is given twice"),
        ("radial_N = 16", "radial_N = -1", "line 11: radial_N: found -1, expected an order from 0"),
        ("radial_N = 16", "radial_N = 2.5", "radial_N: found '2.5', expected an integer"),
        ("radial_N = 16", "radial_N = 999999999", "radial_N"),
        ("radial_N = 16", "", "radial_N: found '', expected an integer"),
        ("radial_N = 16", "", "radial_N"),
        ("radial_Rc = 8.0", "radial_Rc = 80", "up to 30 Å"),
        ("angular_Rc = 6.5", "angular_Rc = 65", "up to 30 Å"),
        ("angular_Rc = 6.5", "angular_Rc = -6.5", "angular_Rc: found '-6.5'"),
        ("ATOM Ti\n", "", "X.stp: ATOM is missing"),
        ("ATOM Ti", "ATOM", "line 5: ATOM: found '', expected a chemical symbol"),
        ("ATOM Ti", "ATOM Titanium", "line 5: ATOM: found 'Titanium'"),
        ("ATOM Ti", "ATOM Ti\nATOM O", "line 6: ATOM is given twice"),
        ("ATOM Ti", "ATM Ti", "line 5: unknown keyword: found 'ATM', expected ATOM"),
        ("ENV 2\nTi\nO\n", "", "BASIS comes before ENV"),
        ("ENV 2", "ENV 3", "line 6: fewer species than ENV announces: found 'Ti O', expected 3"),
        ("ENV 2", "ENV 1", "line 8: more species than ENV announces: found 'O', expected 1"),
        ("ENV 2", "ENV two", "line 6: ENV: found 'two'"),
        ("ENV 2", "ENV 0", "number of species in ENV"),
        ("ENV 2\nTi\nO", "ENV 2\nTi\nTi", "line 8: species is twice in ENV: found 'Ti'"),
        ("RMIN 0.55d0", "RMIN -1", "line 9: RMIN"),
        ("RMIN 0.55d0", "RMIN", "line 9: RMIN: found '', expected a number"),
        ("type=Chebyshev", "type=Behler2011", "BASIS type: found 'Behler2011', expected Chebyshev"),
        ("type=Chebyshev", "", "BASIS type: found '', expected Chebyshev"),
        ("END DESCR", "END", "line 1: DESCR is not closed"),
        ("angular_N = 4\n", "angular_N = 4\nBASIS type=Chebyshev\nradial_Rc=1\n", "line 12: a second basis"),
        ("angular_N = 4\n", "\nangular_N = 4\n", "angular_N"),
        ("radial_Rc = 8.0 radial_N = 16 angular_Rc = 6.5 angular_N = 4\n", "", "Chebyshev parameters missing"),
        (
            "BASIS type=Chebyshev\nradial_Rc = 8.0 radial_N = 16 angular_Rc = 6.5 angular_N = 4\n",
            "",
            "BASIS or FUNCTIONS is missing",
        ),
        (CHEBYSHEV, "", "ATOM is missing"),
        (CHEBYSHEV, "\x00\x01\ufffd garbage", "line 1: unknown keyword"),
    ],
)
def test_bad_chebyshev_setup_is_explained(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in CHEBYSHEV
    with pytest.raises(FormatError) as error:
        parsed(tmp_path, CHEBYSHEV.replace(old, new))
    assert message in str(error.value)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("\n5\n", "\n6\n", "line 6: fewer functions than announced: found 5, expected 6"),
        ("\n5\n", "\n4\n", "line 11: more lines than the basis announces"),
        ("\n5\n", "\n0\n", "line 6: number of functions: found '0'"),
        ("\n5\n", "\n", "line 6: number of functions: found 'G=1', expected an integer"),
        ("G=1", "G=6", "line 7: unknown symmetry function G: found '6', expected 1 to 5"),
        ("G=1 ", "", "line 7: symmetry function without G"),
        ("type2=Ti eta=0.3", "type2=Zr eta=0.3", "line 8: type2: found 'Zr', expected one of ENV: Ti O"),
        ("type2=O kappa", "kappa", "line 9: type2: found 'nothing'"),
        ("type3=O zeta", "type3=o zeta", "line 10: type3: found 'o'"),
        ("type3=O zeta", "zeta", "line 10: type3: found 'nothing'"),
        ("Rc=5.0", "Rc=0", "line 10: Rc: found '0'"),
        ("Rc=5.0", "", "line 10: G4 without Rc"),
        ("kappa=1.0", "", "line 9: G3 without kappa"),
        ("kappa=1.0", "kapa=1.0", "line 9: unknown key: found 'kapa', expected kappa"),
        ("zeta=2.5", "zeta=2.5x", "line 10: zeta: found '2.5x', expected a number"),
        ("FUNCTIONS type=Behler2011", "FUNCTIONS type=Chebyshev", "FUNCTIONS type: found 'Chebyshev'"),
    ],
)
def test_bad_behler_setup_is_explained(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in BEHLER
    with pytest.raises(FormatError) as error:
        parsed(tmp_path, BEHLER.replace(old, new))
    assert message in str(error.value)


def test_symmfunc_is_another_name_of_functions(tmp_path: Path) -> None:
    text = BEHLER.replace("FUNCTIONS type=Behler2011", "SymmFunc type=behler2011")
    assert_same(parsed(tmp_path, text), parsed(tmp_path, BEHLER))


def test_golden_setup_files_round_trip(tmp_path: Path) -> None:
    paths = sorted(LOCAL.rglob("*.fingerprint.stp"))
    assert len(paths) >= 7
    for path in paths:
        setup = read_setup(path)
        write_setup(tmp_path / "again.stp", setup)
        assert_same(read_setup(tmp_path / "again.stp"), setup)


def test_shared_behler_setup_files_round_trip(shared: Path, tmp_path: Path) -> None:
    for path in sorted((shared / "golden" / "behler").glob("*.stp")):
        setup = read_setup(path)
        assert setup.kind == "behler2011"
        write_setup(tmp_path / "again.stp", setup)
        assert_same(read_setup(tmp_path / "again.stp"), setup)


def test_absent_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_setup(tmp_path / "none.stp")
