"""Objects of the engine that live from call to call: their lifetime, and the arrays they see."""

from __future__ import annotations

import copy
import gc
import pickle
import resource
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from calculator_cases import as_structure, random_atoms, write_member
from taylorfit.engine import (
    Handle,
    Loss,
    NeighbourList,
    NetworkTables,
    PartialSums,
    PotentialTables,
    aligned_zeros,
    describe,
    evaluate,
    evaluate_listed,
    library,
    most_nodes,
)
from taylorfit.engine.handles import StopToken, views
from taylorfit.errors import EngineError, InputError
from taylorfit.model.network import Network
from taylorfit.model.structure import Structure
from taylorfit.potential.potential import Potential


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> PotentialTables:
    return Potential.load(write_member(tmp_path_factory.mktemp("nn"), random_atoms())).tables


def make_pack(n: int = 12) -> SimpleNamespace:
    """Structures of one atom with three values, in one block."""
    rng = np.random.default_rng(0)
    width = -(-n // 8) * 8
    return SimpleNamespace(
        first_leaf=0,
        features=rng.normal(size=3 * width),
        panel_offset=np.zeros((1, 1), dtype=np.int64),
        panel_width=np.full((1, 1), width, dtype=np.int32),
        block_first=np.array([0, n], dtype=np.int32),
        atom_offset=np.arange(n, dtype=np.int32)[:, None].copy(),
        atom_count=np.ones((n, 1), dtype=np.int32),
        energy=rng.normal(size=n),
    )


NETWORK = Network.random((3, 2, 1), (1, 0), np.random.default_rng(1))
NETWORKS = NetworkTables.from_networks([NETWORK])


def make_loss(**changes: object) -> Loss:
    pack = SimpleNamespace(**(make_pack().__dict__ | changes))
    ones = np.ones(len(pack.energy))
    return Loss(pack, NETWORKS, ones, ones.copy(), threads=1)


# --- arrays ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": np.zeros(48, dtype=np.float16)}, "features is no array of float64"),
        ({"features": np.zeros(48)[::2]}, "features is not contiguous"),
        ({"features": np.zeros(48, dtype=">f8")}, "features is no array of float64"),
        ({"features": [0.0] * 48}, "features is no array of float64"),
        ({"features": np.zeros((48, 1))}, "features has 2 dimensions, not 1"),
        ({"panel_offset": np.zeros((1, 1), dtype=np.int32)}, "panel_offset is no array of int64"),
        ({"atom_offset": np.arange(12, dtype=np.int32)}, "atom_offset has 1 dimensions, not 2"),
        ({"atom_count": np.ones((2, 12), dtype=np.int32).T}, "atom_count is not contiguous"),
        ({"features": np.zeros(47)}, "reaches beyond its features"),
        ({"energy": np.zeros(13)}, "wrong size"),
    ],
)
def test_arrays_of_another_type_order_or_length_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        make_loss(**changes)


def test_arrays_the_engine_writes_to_must_be_writable() -> None:
    array = np.zeros(3)
    array.setflags(write=False)
    assert views({"x": array}, "x f8 1").shape == (5, 1)
    with pytest.raises(EngineError, match="x is read-only"):
        views({"x": array}, "x f8 1", written=True)
    with pytest.raises(EngineError, match="wrong argument"):
        make_loss().evaluate(NETWORK.weights, np.zeros(NETWORK.n_weights, dtype=np.float32))


def test_a_loss_sees_its_arrays_and_keeps_them() -> None:
    loss = make_loss()
    weights = NETWORK.weights.copy()
    before = loss.evaluate(weights)
    gc.collect()
    assert loss.evaluate(weights).loss == before.loss
    loss.weight[:] = 0.0
    assert loss.evaluate(weights).loss == 0.0
    loss.weight[:] = 2.0
    assert loss.evaluate(weights).loss == pytest.approx(2.0 * before.loss)


# --- lifetime ----------------------------------------------------------------------------------


def grown(action: object, n: int) -> float:
    """MB of memory that n calls of an action leave behind, after some to warm up."""
    for _ in range(1000):
        action()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(n):
        action()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3


def test_neither_handles_nor_failures_leave_memory_behind() -> None:
    pack, ones = make_pack(), np.ones(12)
    wrong = SimpleNamespace(**(pack.__dict__ | {"features": np.zeros(7)}))

    def fail() -> None:
        with pytest.raises(EngineError):
            Loss(wrong, NETWORKS, ones, ones, threads=1)

    def succeed() -> None:
        Loss(pack, NETWORKS, ones, ones, threads=1)

    # 1e5 of each left 29 MB where a constructor made and filled a handle in one go, 2e4 that is 5.8
    assert grown(fail, 20_000) < 3.0
    assert grown(succeed, 20_000) < 3.0


def test_a_closed_handle_is_refused_and_may_be_closed_again(tables: PotentialTables) -> None:
    loss = make_loss()
    loss.close()
    loss.close()
    with pytest.raises(EngineError, match="Loss is used after it was closed"):
        loss.evaluate(NETWORK.weights)
    own, structure = (
        PotentialTables(**{k: v for k, v in tables.__dict__.items() if k != "handle"}),
        as_structure(random_atoms()),
    )
    assert evaluate([structure], own)
    own.handle.close()
    with pytest.raises(EngineError, match="after it was closed"):
        evaluate([structure], own)


@pytest.mark.parametrize("action", [copy.copy, copy.deepcopy, pickle.dumps])
def test_handles_refuse_to_be_copied(action: object, tables: PotentialTables) -> None:
    for handle in (make_loss(), tables.handle, Handle(library.structures.list_handle)):
        with pytest.raises(TypeError, match=f"{type(handle).__name__} cannot be"):
            action(handle)


@pytest.mark.parametrize("action", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_what_has_a_handle_is_copied_by_its_arrays(action: object, tables: PotentialTables) -> None:
    structure = as_structure(random_atoms())
    (expected,) = evaluate([structure], tables)
    (found,) = evaluate([structure], action(tables))
    np.testing.assert_array_equal(found.forces, expected.forces)


def test_empty_handles_are_refused(tables: PotentialTables) -> None:
    loss = Handle(library.losses.loss_handle)
    with pytest.raises(RuntimeError, match="the loss is empty"):
        library.losses.loss_energies(loss.object, np.ones(1, dtype=np.int32), np.zeros(1), 1, np.zeros(1))
    with pytest.raises(RuntimeError, match="the descriptors are empty"):
        library.potentials.potential_fill(
            Handle(library.potentials.potential_handle).object,
            Handle(library.descriptors.descriptors_handle).object,
            np.ones((5, 12), dtype=np.int64, order="F"),
        )
    with pytest.raises(EngineError, match="at least one weight"):
        make_loss().filter(np.zeros(1), 0, 1.0, 0.0, NETWORK.weights.copy(), np.zeros(1), np.ones(1))


# --- threads -----------------------------------------------------------------------------------


def test_two_threads_on_one_potential_get_what_one_gets(tables: PotentialTables) -> None:
    atoms = [random_atoms(seed) for seed in (1, 2)]
    structures = [as_structure(one) for one in atoms]
    lists = [NeighbourList.of(structure, tables.descriptors.cutoff) for structure in structures]
    index = [tables.descriptors.check(structure) for structure in structures]

    def ask(k: int) -> np.ndarray:
        return evaluate_listed(structures[k].positions, index[k], lists[k], tables, threads=1).forces

    expected = [ask(0), ask(1)]
    wrong: list[int] = []

    def work(k: int) -> None:
        for _ in range(200):
            if not np.array_equal(ask(k), expected[k]):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in (0, 1, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_handle_that_is_closed_during_a_call_lives_to_its_end() -> None:
    pack = make_pack(200_000)
    ones = np.ones(200_000)
    loss = Loss(pack, NETWORKS, ones, ones, threads=1)
    expected = loss.evaluate(NETWORK.weights).loss
    n_nodes = most_nodes(len(pack.panel_width))
    found: list[float] = []
    started = threading.Event()

    def work() -> None:
        object_ = loss.object
        started.set()
        energy, none = np.empty(200_000), np.zeros((3, 0), order="F")
        nodes, sums = np.zeros((n_nodes, 2), dtype=np.int64), np.zeros((n_nodes, 1))
        n = library.losses.loss_evaluate(object_, NETWORK.weights, 1, energy, none, np.zeros(0), nodes.T, sums.T)
        found.append(PartialSums(nodes[:n], sums[:n]).total()[0])

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    loss.close()
    del pack, ones
    gc.collect()
    thread.join()
    assert found == [expected]


def test_a_stop_token_ends_the_calls_of_its_handles(tables: PotentialTables) -> None:
    token = StopToken()
    pack, ones = make_pack(), np.ones(12)
    loss = Loss(pack, NETWORKS, ones, ones, threads=1, stop=token)
    weights, velocity = NETWORK.weights.copy(), np.zeros(NETWORK.n_weights)
    assert loss.evaluate(weights).loss > 0.0 and not token.is_set()
    token.set()
    assert token.is_set()
    # Incomplete results are no results: whoever sets the token asks it
    assert loss.evaluate(weights).loss == 0.0
    loss.descent(np.tile(np.arange(12), 100), 0.0, 0.01, weights, velocity)
    steps = Loss(pack, NETWORKS, ones, ones, threads=1)
    expected, velocity = NETWORK.weights.copy(), np.zeros(NETWORK.n_weights)
    steps.descent(np.tile(np.arange(12), 2)[:16], 0.0, 0.01, expected, velocity)
    np.testing.assert_array_equal(weights, expected, err_msg="a pass looks every 16 steps")


def test_a_stop_token_ends_a_description(tables: PotentialTables) -> None:
    here = Structure(("H", "H"), np.zeros((2, 3)), 9.0 * np.eye(3), (True,) * 3)
    with pytest.raises(InputError, match="coincide"):
        describe([here], tables.descriptors)
    token = StopToken()
    token.set()
    with pytest.raises(EngineError, match="stopped"):
        describe([here], tables.descriptors, stop=token)


def test_folder_of_the_c_library_is_there() -> None:
    from taylorfit.engine import c_folders

    header, libraries = c_folders()
    assert (header / "taylorfit.h").is_file() and list(Path(libraries).glob("libtaylorfit.*"))


@pytest.mark.parametrize("n", (1, 7, 1000, 100_000))
def test_aligned_zeros_begin_a_cache_line(n: int) -> None:
    for _ in range(5):
        array = aligned_zeros(n)
        assert array.shape == (n,)
        assert array.ctypes.data % 64 == 0
        assert not array.any()
