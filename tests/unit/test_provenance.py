"""Names of copies, written and read back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taylorfit.errors import InputError
from taylorfit.model.provenance import MAX_LENGTH, Provenance, copy_name, parse_copy_name


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("xsf/a.xsf", "random", 3, 0.008), "xsf/a.xsf#taylor:random:0003:0.008"),
        (("traj.xyz#12", "random", 0, 0.01), "traj.xyz#12#taylor:random:0000:0.01"),
        (("a.xsf", "cartesian", 12345, 0.03, "17-y"), "a.xsf#taylor:cartesian:12345:0.03:17-y"),
        (("my data/50%.xsf", "random", 0, 1e-5), "my%20data/50%25.xsf#taylor:random:0000:1e-05"),
        (("größe.xsf", "random", 0, 1.0), "gr%C3%B6%C3%9Fe.xsf#taylor:random:0000:1.0"),
        (("a.xsf", "orthogonal", 2, 0.008, "", 0.625), "a.xsf#taylor:orthogonal:0002:0.008:w0.625"),
        (("a.xsf", "cartesian", 2, 0.03, "17-y", 0.5), "a.xsf#taylor:cartesian:0002:0.03:17-y:w0.5"),
        (("a.xsf", "strain", 2, 0.005), "a.xsf#taylor:strain:0002:0.005"),
    ],
)
def test_names_look_as_documented(arguments, name):
    assert copy_name(*arguments) == name
    assert parse_copy_name(name) == Provenance(*arguments)


@given(
    parent=st.text(min_size=1, max_size=60),
    strategy=st.from_regex(r"[a-z][a-z0-9_-]{0,11}", fullmatch=True),
    index=st.integers(0, 10**7),
    delta=st.floats(0.0, 10.0),
    site=st.just("") | st.from_regex(r"[1-9][0-9]{0,4}[+-][xyz]", fullmatch=True),
    weight=st.floats(1e-6, 1.0).map(lambda weight: float(f"{weight:.4g}")),
)
def test_any_parent_is_read_back(parent, strategy, index, delta, site, weight):
    name = copy_name(parent, strategy, index, delta, site, weight)
    assert re.fullmatch("[!-~]+", name)
    assert len(name) <= MAX_LENGTH
    assert parse_copy_name(name) == Provenance(parent, strategy, index, delta, site, weight)
    assert parse_copy_name(name.ljust(1024)) == parse_copy_name(name)  # Fortran pads with blanks


def test_file_names_that_are_not_unicode_survive():
    parent = b"a\xff.xsf".decode("utf-8", "surrogateescape")
    assert parse_copy_name(copy_name(parent, "random", 0, 0.01)).parent == parent


def test_a_copy_of_a_copy_names_the_copy():
    parent = copy_name("a.xsf", "random", 7, 0.01)
    assert parse_copy_name(copy_name(parent, "cartesian", 2, 0.02, "1+x")).parent == parent


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a.xsf",
        "traj.xyz#12",
        "#taylor:random:0003:0.008",
        "a#taylor:random:3:0.008",
        "a#taylor:random:0003:",
        "a#taylor:random:0003:0.008:x",
        "a#taylor:random:0003:0.008.xsf",
        "a#taylor:Random:0003:0.008",
        "a#taylor:random:0003:--",
        "a#taylor:random:0003:0.008:w",
        "a#taylor:random:0003:0.008:w-1",
        "a#taylor:random:0003:0.008:w0",
        "a#taylor:random:0003:0.008:w0.5:17-y",
    ],
)
def test_other_names_are_not_copies(name):
    assert parse_copy_name(name) is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("", "random", 0, 0.01),
        ("a", "", 0, 0.01),
        ("a", "a:b", 0, 0.01),
        ("a", "random", -1, 0.01),
        ("a", "random", 0, float("nan")),
        ("a", "random", 0, -0.01),
        ("a", "cartesian", 0, 0.01, "0+x"),
        ("a", "random", 0, 0.01, "", 0.0),
        ("a", "random", 0, 0.01, "", float("nan")),
        ("a" * 1000, "random", 0, 0.01),
        ("ü" * 200, "random", 0, 0.01),
    ],
)
def test_impossible_names_are_refused(arguments):
    with pytest.raises(InputError):
        copy_name(*arguments)


def test_strained_copies_say_so():
    assert parse_copy_name("a#taylor:strain:0002:0.005").is_strained
    assert not parse_copy_name("a#taylor:random:0002:0.005").is_strained
