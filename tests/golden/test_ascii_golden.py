"""Text potentials and training sets: made again byte for byte, read back without loss."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from taylorfit.errors import FormatError, InputError
from taylorfit.formats.aenet.dialects import AENET, AENET_PYTORCH
from taylorfit.formats.aenet.potential_file import (
    read_potential,
    read_potential_ascii,
    write_potential,
    write_potential_ascii,
)
from taylorfit.formats.aenet.text_records import TextRecordReader, list_directed, scientific
from taylorfit.formats.aenet.trainset_ascii import DIALECTS, read_trainset_ascii, write_trainset_ascii
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.aenet.trainset_writer import write_trainset
from taylorfit.model.network import SpeciesPotential

LOCAL = Path(__file__).parents[1] / "data" / "golden"
LOCAL_POTENTIALS = (
    "mono/Si.nn",
    *(f"cluster/four_species/{x}.nn" for x in "CHNO"),
    "cluster/tio2_nets/Ti.nn",
    "cluster/tio2_nets/O.nn",
)
LOCAL_SETS = ("mono/mono.train", "cluster/four_species/mol.train", "cluster/tio2_nets/cluster.train")
SHARED_SETS = ("behler", "lmnto", "run", "tio2/A_published_nets", "tio2/B_own_nets")


def check_potential(binary: Path, tmp_path: Path) -> None:
    potential, text = read_potential(binary), Path(f"{binary}.ascii")
    write_potential_ascii(tmp_path / "x.ascii", potential)
    assert (tmp_path / "x.ascii").read_bytes() == text.read_bytes()
    # The text form has lost the blanks at the start of the description, and nothing else
    write_potential(tmp_path / "back.nn", read_potential_ascii(text))
    write_potential(tmp_path / "same.nn", with_description(potential, potential.setup.description.strip()))
    assert (tmp_path / "back.nn").read_bytes() == (tmp_path / "same.nn").read_bytes()


def with_description(potential: SpeciesPotential, description: str) -> SpeciesPotential:
    return replace(potential, setup=replace(potential.setup, description=description))


@pytest.mark.parametrize("name", LOCAL_POTENTIALS)
def test_text_potential_is_that_of_the_converter(name: str, tmp_path: Path) -> None:
    check_potential(LOCAL / name, tmp_path)


@pytest.mark.parametrize("folder", SHARED_SETS)
def test_shared_text_potential_is_that_of_the_converter(folder: str, shared: Path, tmp_path: Path) -> None:
    paths = sorted((shared / "golden" / folder).glob("*.nn"))
    assert paths
    for path in paths:
        check_potential(path, tmp_path)


@pytest.mark.parametrize(
    "dialect, head", [(AENET_PYTORCH, "small.train.ascii.head"), (AENET, "small.train.trnset2ASCII.head")]
)
def test_text_training_set_starts_as_that_of_the_converter(
    dialect: str, head: str, shared: Path, tmp_path: Path
) -> None:
    folder = shared / "golden" / "run"
    write_trainset_ascii(tmp_path / "x", read_trainset(folder / "small.train"), dialect, source="small.train")
    expected = (folder / head).read_bytes()
    assert expected.count(b"\n") == 80
    assert (tmp_path / "x").read_bytes().startswith(expected)


@pytest.mark.parametrize("name", LOCAL_SETS)
def test_training_set_survives_the_detour_over_text(name: str, tmp_path: Path) -> None:
    training_set = read_trainset(LOCAL / name)
    write_trainset_ascii(tmp_path / "x.ascii", training_set)
    write_trainset(tmp_path / "back.train", read_trainset_ascii(tmp_path / "x.ascii"))
    assert (tmp_path / "back.train").read_bytes() == (LOCAL / name).read_bytes()


@pytest.mark.parametrize("name", LOCAL_SETS)
def test_training_set_without_setups_survives_in_both_dialects(name: str, tmp_path: Path) -> None:
    training_set = replace(read_trainset(LOCAL / name), setups=None)
    write_trainset(tmp_path / "plain.train", training_set)
    for dialect in DIALECTS:
        write_trainset_ascii(tmp_path / "x.ascii", training_set, dialect)
        write_trainset(tmp_path / "back.train", read_trainset_ascii(tmp_path / "x.ascii"))
        assert (tmp_path / "back.train").read_bytes() == (tmp_path / "plain.train").read_bytes()


def edited(tmp_path: Path, old: str, new: str, name: str = "cluster/tio2_nets/Ti.nn.ascii", count: int = 1) -> Path:
    text = (LOCAL / name).read_text()
    assert old in text
    (tmp_path / "x.nn.ascii").write_text(text.replace(old, new, count))
    return tmp_path / "x.nn.ascii"


@pytest.mark.parametrize("packed", [" TiO", " TiO ", "TiO", " Ti O ", "Ti  O", " Ti\n O"])
def test_species_without_blanks_are_told_apart(packed: str, tmp_path: Path) -> None:
    # The order of ENV is O, Ti in this set, that of the training set Ti, O
    path = edited(tmp_path, "\n Ti O \n", f"\n{packed}\n")
    potential = read_potential_ascii(path)
    assert potential.info.species == ("Ti", "O")
    assert potential.setup.environment == ("O", "Ti")


@pytest.mark.parametrize("packed", [" Tio", " TiOH", " TI", " Ti O H", " Ti Ti", " titanium oxygen"])
def test_ambiguous_species_are_refused(packed: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="species of the training set"):
        read_potential_ascii(edited(tmp_path, "\n Ti O \n", f"\n{packed}\n"))


@pytest.mark.parametrize("word, value", [("T", True), ("True", True), (".true.", True), ("F", False), ("False", False)])
def test_logicals_in_all_spellings(word: str, value: bool, tmp_path: Path) -> None:
    assert read_potential_ascii(edited(tmp_path, "\n T\n", f"\n{word}\n")).info.normalised is value


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("\n T\n", "\n maybe\n", "training set normalised"),
        (" Chebyshev", " Tschebyschow", "basis type"),
        ("           4\n", "           x\n", "number of layers"),
        ("           4\n", "           4 5\n", "number of layers"),
        ("           4\n", "  99999999999\n", "number of layers"),
        ("           1           1           0\n", "           1           1           7\n", "activation functions"),
    ],
)
def test_wrong_items_are_named_with_their_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        read_potential_ascii(edited(tmp_path, old, new))
    assert caught.value.line


def test_fortran_exponents_and_continued_lines_are_read(tmp_path: Path) -> None:
    path = LOCAL / "mono/Si.nn.ascii"
    lines = path.read_text().split("\n")
    weights = lines[8].replace("E-00", "D-00").split()
    lines[8] = "\n".join(" ".join(weights[i : i + 4]) for i in range(0, len(weights), 4))
    (tmp_path / "x").write_text("\n".join(lines) + "\n\n")
    found = read_potential_ascii(tmp_path / "x").network.weights
    np.testing.assert_array_equal(found, read_potential(LOCAL / "mono/Si.nn").network.weights)


def test_missing_last_line_is_an_error(tmp_path: Path) -> None:
    lines = (LOCAL / "mono/Si.nn.ascii").read_text().splitlines()
    for n in range(len(lines)):
        (tmp_path / "x").write_text("\n".join(lines[:n]))
        with pytest.raises(FormatError):
            read_potential_ascii(tmp_path / "x")
    (tmp_path / "x").write_text("\n".join([*lines, "1.0"]))
    with pytest.raises(FormatError, match="more lines"):
        read_potential_ascii(tmp_path / "x")


def test_existing_text_is_kept(tmp_path: Path) -> None:
    potential, training_set = read_potential(LOCAL / "mono/Si.nn"), read_trainset(LOCAL / "mono/mono.train")
    (tmp_path / "x").write_text("mine")
    with pytest.raises(InputError, match="output exists"):
        write_potential_ascii(tmp_path / "x", potential, overwrite=False)
    with pytest.raises(InputError, match="output exists"):
        write_trainset_ascii(tmp_path / "x", training_set, overwrite=False)
    with pytest.raises(InputError, match="dialect"):
        write_trainset_ascii(tmp_path / "y", training_set, "klingon")


def test_description_with_line_breaks_stays_one_line(tmp_path: Path) -> None:
    potential = with_description(read_potential(LOCAL / "mono/Si.nn"), "a\nb\0c\x1b")
    write_potential_ascii(tmp_path / "x", potential)
    assert read_potential_ascii(tmp_path / "x").setup.description == "a b c"


def test_name_that_has_no_text_form_is_refused(tmp_path: Path) -> None:
    training_set = read_trainset(LOCAL / "mono/mono.train")
    with pytest.raises(InputError, match="name"):
        write_trainset_ascii(tmp_path / "x", replace(training_set, names=["a\nb", *training_set.names[1:]]))


NUMBERS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.1,
    0.1 - 1e-17,
    0.09999999999999999,
    1e16,
    1e17,
    99999999999999984.0,
    5e-324,
    1.7976931348623157e308,
    12345678901234567.0,
    0.75,
    -2.5e-2,
    1e-100,
    np.nan,
    np.inf,
    -np.inf,
]


def test_numbers_look_as_gfortran_shows_them(tmp_path: Path) -> None:
    compiler = shutil.which("gfortran")
    if compiler is None:
        pytest.skip("no gfortran")
    rng = np.random.default_rng(3)
    numbers = np.array(
        [
            *NUMBERS,
            *(rng.normal(size=500) * 10.0 ** rng.integers(-30, 30, 500)),
            *np.nextafter(10.0 ** np.arange(-20, 20), 0),
        ]
    )
    numbers.astype("<f8").tofile(tmp_path / "numbers")
    (tmp_path / "show.f90").write_text(
        "program show\n implicit none\n integer :: stat\n real(8) :: x\n"
        " open(10, file='numbers', access='stream', form='unformatted')\n open(11, file='text')\n do\n"
        "  read(10, iostat=stat) x\n  if (stat /= 0) exit\n"
        "  write(11, *) x\n  if (abs(x) <= huge(x)) write(11, '(1x,ES24.17)') x\n end do\nend program\n"
    )
    subprocess.run([compiler, "show.f90", "-o", "show"], cwd=tmp_path, check=True)
    subprocess.run(["./show"], cwd=tmp_path, check=True)
    expected = []
    for x in numbers.tolist():
        expected.append(list_directed([x]))
        if np.isfinite(x):
            expected += scientific([x])
    assert (tmp_path / "text").read_text().split("\n")[:-1] == expected


def test_numbers_are_read_back_exactly(tmp_path: Path) -> None:
    finite = np.array([x for x in NUMBERS if np.isfinite(x)])
    (tmp_path / "x").write_text("\n".join([list_directed(finite), *scientific(finite, 4), list_directed([np.nan])]))
    with TextRecordReader(tmp_path / "x") as reader:
        for _ in range(2):
            np.testing.assert_array_equal(reader.reals("numbers", len(finite)), finite)
        assert np.isnan(reader.real("nan", finite=False))
        reader.end()


def test_numbers_have_the_digits_of_the_c_library() -> None:
    rng = np.random.default_rng(4)
    halves = np.arange(-200, 200) / 8.0  # ties, which go to the even digit
    powers = 2.0 ** np.arange(-1074.0, 1023.0, 7.0)
    bits = np.frombuffer(rng.bytes(8 * 5000))
    numbers = [*halves, *powers, *np.nextafter(10.0 ** np.arange(-20, 20), 0), *bits[np.isfinite(bits)], 1e22, 1e23]
    text = list_directed(numbers)
    for place, x in enumerate(numbers):
        word = text[26 * place : 26 * (place + 1)].strip()
        assert float(word) == x
        digits = word.upper().split("E")[0].lstrip("-").replace(".", "").lstrip("0").ljust(17, "0")
        assert digits == f"{abs(x):.16E}".split("E")[0].replace(".", "").lstrip("0").ljust(17, "0")
    for x, word in zip(numbers, scientific(numbers)[0].split()):
        mantissa, _, exponent = f"{x:.17E}".partition("E")
        # Three digits of an exponent leave no room for its letter
        assert word == f"{mantissa}{'E' if len(exponent) == 3 else ''}{exponent}"
