"""The boundary to the Fortran engine: the only module that imports the extension.

It chooses the build for this processor, lays out arrays as Fortran wants them, allocates
results, converts 0-based to 1-based indices, and turns the engine's errors into exceptions.
No physics happens here.  Lengths in Å, energies in eV.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from .descriptor import BEHLER2011, CHEBYSHEV, DescriptorSetup
from .errors import EngineError, InputError, TaylorfitError
from .network import Network, Potential
from .scaling import standardisation
from .structure import Structure

LANES = 8
"""Panels of atoms are padded to a multiple of this (`lanes` in kinds.f90)."""

_BASIS = {CHEBYSHEV: 1, BEHLER2011: 2}
_LEVEL_VARIABLE = "TAYLORFIT_CPU"


def _library_settings(processor: int) -> dict[str, str]:
    """Environment in which the libraries of the engine start; they read it once, while they are loaded."""
    settings = {"OPENBLAS_NUM_THREADS": "1"}
    # OpenBLAS takes some newer AVX-512 processors for AVX2 ones, at a third of the speed
    if processor >= 4 and "OPENBLAS_CORETYPE" not in os.environ:
        settings["OPENBLAS_CORETYPE"] = "SkylakeX"
    # By default waiting threads of GNU OpenMP spin for about a millisecond, which on a busy machine keeps
    # the thread they wait for from running: small data sets then train up to ten times slower
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        settings["GOMP_SPINCOUNT"] = "10000"
    return settings


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Set environment variables for a moment."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _load() -> tuple[object, str]:
    """Import the build of the engine that suits this processor, or the one the user names."""
    package = __package__
    wanted = os.environ.get(_LEVEL_VARIABLE)
    if wanted not in (None, "", "1", "3", "4"):
        raise InputError(f"{_LEVEL_VARIABLE} names no processor level", value=wanted, expected="1, 3 or 4")
    processor = importlib.import_module("._cpu", package).level()
    level = int(wanted) if wanted else processor
    for candidate in (4, 3, 1):
        if candidate > level:
            continue
        suffix = "" if candidate == 1 else f"_v{candidate}"
        try:
            with _environment(_library_settings(processor)):
                extension = importlib.import_module(f"._ext{suffix}", package)
        except ModuleNotFoundError:
            continue
        # The generated wrapper imports taylorfit._ext by name, and looks it up as an attribute
        sys.modules[f"{package}._ext"] = extension
        sys.modules[package]._ext = extension
        return importlib.import_module("._engine", package), f"_ext{suffix}"
    raise EngineError("no build of the engine was installed; reinstall taylorfit")


_engine, _build_name = _load()
_structures = _engine.tf_api_structures
_training = _engine.tf_api_training
_derivatives = _engine.tf_api_derivatives


def build_name() -> str:
    """Name of the loaded extension: which processor level is in use."""
    return _build_name


def blas_name() -> str:
    """Name of the BLAS the engine was built with, `none` for plain loops."""
    return str(_training.blas_library()).strip()


def available_threads() -> int:
    """Number of processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def _call(function: object, *arguments: object, names: Sequence[str] = ()) -> object:
    """Call the engine; the one place where its errors become exceptions.

    The engine marks an error of one structure of a batch as ``#<number> <message>``.
    """
    try:
        return function(*arguments)
    except RuntimeError as error:
        match = re.match(r"#(\d+) (.*)", str(error), re.DOTALL)
        if match and int(match[1]) <= len(names):
            raise InputError(match[2], file=names[int(match[1]) - 1] or None) from None
        raise EngineError(str(error)) from None
    except (ValueError, TypeError) as error:  # from f2py: a programming error on our side
        raise EngineError(f"wrong argument for the engine: {error}") from error


def _integers(values: object) -> np.ndarray:
    return np.asfortranarray(values, dtype=np.int32)


def _threads(threads: int) -> int:
    return available_threads() if threads == 0 else threads


# --- single kernels, for tests ------------------------------------------------------------------


def cutoff(r: np.ndarray, r_cut: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosine cutoff function and its derivative (1/Å) at distances `r` (n,), Å."""
    r = np.ascontiguousarray(r, dtype=np.float64)
    fc, slope = np.empty_like(r), np.empty_like(r)
    _call(_structures.cutoff, r, float(r_cut), fc, slope)
    return fc, slope


def activation(code: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return value and slope of an activation function (code as in `network.ACTIVATIONS`)."""
    value = np.array(x, dtype=np.float64)
    slope = np.empty_like(value)
    _call(_training.activation, int(code), value, slope)
    return value, slope


def panel_products(x: np.ndarray, w: np.ndarray, repeats: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return z = repeats·x wᵀ accumulated, and g = Σ zᵀ x: the dense kernels, for tests and benchmark.

    `x` is (n_q, n_in) with n_q a multiple of `LANES`, `w` is (n_out, n_in).
    """
    x, w = np.asfortranarray(x, dtype=np.float64), np.asfortranarray(w, dtype=np.float64)
    z = np.zeros((x.shape[0], w.shape[0]), order="F")
    g = np.zeros_like(w, order="F")
    _call(_training.panel_products, x, w, z, g, int(repeats))
    return z, g


def blas_product(a: np.ndarray, b: np.ndarray, repeats: int = 1) -> np.ndarray:
    """Return a b, computed `repeats` times by the engine's BLAS on one thread: for tests and benchmark."""
    a, b = np.asfortranarray(a, dtype=np.float64), np.asfortranarray(b, dtype=np.float64)
    c = np.zeros((a.shape[0], b.shape[1]), order="F")
    _call(_training.blas_product, a, b, c, int(repeats))
    return c


def neighbours(structure: Structure, reach: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the neighbours of every atom within `reach` (Å), images included, the atom itself not.

    Returns
    -------
    first
        (n_atom + 1,) int64: pairs of atom i are first[i]:first[i+1]
    atom
        (n_pair,) int32: index of the neighbour, from 0
    vector
        (n_pair, 3) from the atom to the neighbour, Å
    """
    first = np.zeros(structure.n_atoms + 1, dtype=np.int64)
    n = 0
    while True:
        atom = np.empty(n, dtype=np.int32)
        vector = np.empty((3, n), order="F")
        found = _call(
            _structures.neighbours, structure.positions.T, structure.cell.T, _integers(structure.pbc),
            float(reach), first, atom, vector, names=[structure.name],
        )
        if found <= n:
            return first, atom - 1, vector.T
        n = int(found)


# --- descriptors --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class DescriptorTables:
    """Descriptor setups of all species, flattened for the engine (in TYPES order)."""

    species: tuple[str, ...]
    setups: tuple[DescriptorSetup, ...]
    basis: np.ndarray
    n_function: np.ndarray
    function: np.ndarray
    """(total,) 0 for Chebyshev, 1..5 for G1..G5"""
    parameters: np.ndarray
    """(4, total) Fortran order"""
    neighbours: np.ndarray
    """(2, total) Fortran order: species of type2 and type3 of a symmetry function, from 1; 0 where unused"""
    environment: np.ndarray
    """(n_species, n_species) Fortran order: place of the first index in the ENV list of the second"""

    @classmethod
    def from_setups(
        cls, species: Sequence[str], setups: Sequence[DescriptorSetup], files: Sequence[str] | None = None
    ) -> DescriptorTables:
        """Flatten `setups`, one per entry of `species` in the same order; `files` are named in errors.

        Raises
        ------
        InputError
            if a setup is of the wrong species or of an unknown kind, or a symmetry function names no species of ENV.
        """
        where = [None] * len(setups) if files is None else files
        for symbol, setup, file in zip(species, setups, where, strict=True):
            if setup.species != symbol:
                raise InputError(f"the setup for {symbol} describes another species", file=file,
                                 value=setup.species, expected=symbol)
            if setup.kind not in _BASIS:
                raise InputError(f"descriptor of species {symbol} is unknown", file=file, value=setup.basis,
                                 expected="Chebyshev or Behler2011")
        environment = np.zeros((len(species), len(species)), dtype=np.int32, order="F")
        for t, setup in enumerate(setups):
            outside = [symbol for symbol in setup.environment if symbol not in species]
            # Weights follow from the length of the ENV list, so a name may not simply be left out
            if outside:
                raise InputError(f"ENV of the setup for {setup.species} names a species that is not in TYPES",
                                 file=where[t], value=" ".join(outside), expected=" ".join(species))
            for place, symbol in enumerate(setup.environment, start=1):
                environment[species.index(symbol), t] = place
            if setup.neighbours.min(initial=0) < 0 or setup.neighbours.max(initial=0) > len(setup.environment):
                raise InputError(f"a symmetry function of the setup for {setup.species} names a species outside ENV",
                                 file=where[t], value=int(np.abs(setup.neighbours).max()),
                                 expected=f"1 to {len(setup.environment)}")
        return cls(
            species=tuple(species),
            setups=tuple(setups),
            basis=_integers([_BASIS[setup.kind] for setup in setups]),
            n_function=_integers([setup.n_feature for setup in setups]),
            function=_integers(np.concatenate([setup.function for setup in setups])),
            parameters=np.asfortranarray(np.concatenate([setup.parameters for setup in setups]).T),
            neighbours=_integers(np.concatenate([_global_neighbours(species, setup) for setup in setups]).T),
            environment=environment,
        )

    @property
    def cutoff(self) -> float:
        """Largest cutoff of all species, Å."""
        return max(setup.r_cut for setup in self.setups)

    def arguments(self) -> tuple[np.ndarray, ...]:
        """The engine's first arguments."""
        return self.basis, self.n_function, self.function, self.parameters, self.neighbours, self.environment

    def check(self, structure: Structure) -> np.ndarray:
        """Return the species index (from 0) of each atom, having checked that all ENV lists know all species.

        Raises
        ------
        InputError
            for an unknown species, or one that is missing in an ENV list.
        """
        index = structure.species_index(self.species)
        for t in np.unique(index):
            environment = self.setups[t].environment
            if len(environment) == 1 and self.setups[t].kind == CHEBYSHEV:
                continue
            missing = sorted(set(structure.symbols) - set(environment))
            if missing:
                raise InputError(
                    f"ENV of the setup for {self.species[t]} lacks a species of this structure",
                    file=structure.name or None, value=" ".join(missing), expected=" ".join(environment),
                )
        return index


def _global_neighbours(species: Sequence[str], setup: DescriptorSetup) -> np.ndarray:
    """Return the neighbour species of each function as index into `species`, from 1; (n_feature, 2), 0 where unused."""
    places = [0, *(list(species).index(symbol) + 1 for symbol in setup.environment)]
    return np.array(places, dtype=np.int32)[setup.neighbours]


@dataclass(frozen=True, eq=False)
class _Batch:
    """Several structures as flat arrays."""

    names: list[str]
    first_atom: np.ndarray
    positions: np.ndarray
    cells: np.ndarray
    periodic: np.ndarray
    species: np.ndarray

    @classmethod
    def of(cls, structures: Sequence[Structure], tables: DescriptorTables) -> _Batch:
        species = [tables.check(structure) for structure in structures]
        return cls(
            names=[structure.name for structure in structures],
            first_atom=_integers(np.concatenate([[0], np.cumsum([s.n_atoms for s in structures])])),
            positions=_stack([s.positions for s in structures], (0, 3)).T,
            # Fortran sees (3, 3, n): columns are lattice vectors, as in the C-ordered rows of ASE
            cells=_stack([s.cell[None] for s in structures], (0, 3, 3)).T,
            periodic=_stack([np.array(s.pbc, dtype=np.int32)[None] for s in structures], (0, 3), np.int32).T,
            species=_stack([s + 1 for s in species], (0,), np.int32),
        )

    def arguments(self) -> tuple[np.ndarray, ...]:
        return self.first_atom, self.positions, self.cells, self.periodic, self.species


def _stack(parts: list[np.ndarray], empty: tuple[int, ...], dtype: type = np.float64) -> np.ndarray:
    return np.ascontiguousarray(np.concatenate(parts), dtype=dtype) if parts else np.zeros(empty, dtype=dtype)


def describe(
    structures: Sequence[Structure],
    tables: DescriptorTables,
    displacements: Sequence[np.ndarray] | None = None,
    threads: int = 0,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the raw descriptors of structures, or of displaced copies of them.

    Parameters
    ----------
    displacements
        for each structure (n_copy, n_atom, 3) in Å; the copies share the structure's neighbour
        list.  None describes each structure as it is (one copy, not displaced).
    threads
        0: all cores.

    Returns
    -------
    list of (values, positions)
        for each structure (n_copy, n_value), the atoms' descriptors one after the other, and
        (n_copy, n_atom, 3) positions in Å, wrapped into the cell before displacing.

    Raises
    ------
    InputError
        for unknown species, coinciding atoms, or a degenerate cell; it names the structure.
    """
    batch = _Batch.of(structures, tables)
    if displacements is None:
        displacements = [np.zeros((1, structure.n_atoms, 3)) for structure in structures]
    for structure, displacement in zip(structures, displacements, strict=True):
        if displacement.ndim != 3 or displacement.shape[1:] != (structure.n_atoms, 3):
            raise EngineError(f"displacements of {structure.name} have shape {displacement.shape}")
    n_copies = _integers([len(displacement) for displacement in displacements])
    moved = _stack([d.reshape(-1, 3) for d in displacements], (0, 3))
    n_values = [
        int(sum(tables.n_function[s - 1] for s in batch.species[a:b]))
        for a, b in zip(batch.first_atom, batch.first_atom[1:])
    ]
    values = np.empty(sum(n * c for n, c in zip(n_values, n_copies.tolist())))
    placed = np.empty_like(moved)
    _call(
        _structures.describe, *tables.arguments(), *batch.arguments(), n_copies, moved.T, _threads(threads),
        values, placed.T, names=batch.names,
    )
    results, v, p = [], 0, 0
    for structure, n, c in zip(structures, n_values, n_copies.tolist()):
        w, q = v + n * c, p + structure.n_atoms * c
        results.append((values[v:w].reshape(c, n), placed[p:q].reshape(c, structure.n_atoms, 3)))
        v, p = w, q
    return results


def descriptor_derivative(
    structure: Structure, tables: DescriptorTables, atom: int, factors: np.ndarray
) -> np.ndarray:
    """Return d(Σ_f factors_f G_f)/dR of one atom's descriptor with respect to all positions, (n_atom, 3), 1/Å."""
    index = tables.check(structure)
    derivative = np.zeros((structure.n_atoms, 3))
    _call(
        _structures.descriptor_derivative, *tables.arguments(), structure.positions.T, structure.cell.T,
        _integers(structure.pbc), _integers(index + 1), int(atom) + 1,
        np.ascontiguousarray(factors, dtype=np.float64), derivative.T, names=[structure.name],
    )
    return derivative


def fill_descriptor_derivatives(
    structure: Structure, tables: DescriptorTables, reach: float, start: int, stop: int,
    own: np.ndarray, image: np.ndarray, threads: int = 0,
) -> None:
    """Fill the derivatives of the descriptors of atoms start … stop − 1; see `engine_derivatives`.

    Parameters
    ----------
    reach
        Neighbours are those of `neighbours` for this distance, Å; at least the largest cutoff.
    own, image
        Flat; atom after atom (3, n_feature) and (3, n_feature, n_neighbour), 1/Å.
    """
    index = tables.check(structure)
    _call(
        _derivatives.descriptor_derivatives, *tables.arguments(), structure.positions.T, structure.cell.T,
        _integers(structure.pbc), _integers(index + 1), float(reach), start + 1, stop, _threads(threads),
        own, image, names=[structure.name],
    )


# --- potentials ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class NetworkTables:
    """Network architectures of all species, flattened for the engine."""

    n_layers: np.ndarray
    n_nodes: np.ndarray
    codes: np.ndarray
    n_weights: int

    @classmethod
    def from_networks(cls, networks: Sequence[Network]) -> NetworkTables:
        """Flatten the layers of `networks`."""
        return cls(
            n_layers=_integers([len(network.layer_sizes) for network in networks]),
            n_nodes=_integers([n for network in networks for n in network.layer_sizes]),
            codes=_integers([code for network in networks for code in (0, *network.activations)]),
            n_weights=sum(network.n_weights for network in networks),
        )

    def arguments(self) -> tuple[np.ndarray, ...]:
        """The engine's arguments."""
        return self.n_layers, self.n_nodes, self.codes


@dataclass(frozen=True, eq=False)
class PotentialTables:
    """Potentials of all species, flattened for the engine."""

    descriptors: DescriptorTables
    networks: NetworkTables
    weights: np.ndarray
    feature_shift: np.ndarray
    """(n_feature_most, n_species) Fortran order"""
    feature_factor: np.ndarray
    energy_scale: np.ndarray
    energy_shift: np.ndarray
    energy_atomic: np.ndarray

    @classmethod
    def from_potentials(cls, potentials: Sequence[Potential]) -> PotentialTables:
        """Flatten `potentials`; their order defines the species index.

        Raises
        ------
        InputError
            if two potentials are of one species or a potential lacks statistics.
        """
        species = tuple(potential.species for potential in potentials)
        if len(set(species)) < len(species):
            raise InputError("two potentials for one species", value=" ".join(species), expected="one for each")
        descriptors = DescriptorTables.from_setups(species, [potential.setup for potential in potentials])
        widest = max(potential.setup.n_feature for potential in potentials)
        shift = np.zeros((widest, len(species)), order="F")
        factor = np.zeros_like(shift)
        for t, potential in enumerate(potentials):
            if potential.setup.statistics is None:
                raise InputError(f"the potential for {potential.species} has no descriptor statistics")
            n = potential.setup.n_feature
            shift[:n, t], factor[:n, t] = standardisation(potential.setup.statistics)
        own = [dict(zip(p.info.species, p.info.atomic_energies)).get(p.species) for p in potentials]
        if None in own:
            raise InputError(f"the potential for {species[own.index(None)]} does not state its atomic energy")
        return cls(
            descriptors=descriptors,
            networks=NetworkTables.from_networks([potential.network for potential in potentials]),
            weights=np.concatenate([potential.network.weights for potential in potentials]),
            feature_shift=shift,
            feature_factor=factor,
            energy_scale=np.array([potential.info.scale for potential in potentials]),
            energy_shift=np.array([potential.info.shift for potential in potentials]),
            energy_atomic=np.array(own, dtype=np.float64),
        )

    def with_weights(self, weights: np.ndarray) -> PotentialTables:
        """Return the same potentials with other weights, (n_weight,)."""
        return PotentialTables(**{**self.__dict__, "weights": np.ascontiguousarray(weights)})


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a potential says about one structure."""

    atomic_energies: np.ndarray
    """(n_atom,) eV, atomic reference energies included"""
    forces: np.ndarray | None
    """(n_atom, 3) eV/Å"""
    strain_derivative: np.ndarray | None
    """(3, 3) dE/dε, eV; divided by the volume it is the stress in ASE's sign"""
    descriptors: np.ndarray | None = None
    """(n_atom, n_feature_most) standardised descriptors, if asked for"""

    @property
    def energy(self) -> float:
        """Total energy, eV."""
        return float(self.atomic_energies.sum())


def evaluate(
    structures: Sequence[Structure],
    potential: PotentialTables,
    *,
    forces: bool = True,
    descriptors: bool = False,
    threads: int = 0,
) -> list[Evaluation]:
    """Return energies, forces and strain derivatives of structures.

    Raises
    ------
    InputError
        for unknown species, coinciding atoms, or a degenerate cell; it names the structure.
    """
    batch = _Batch.of(structures, potential.descriptors)
    n_atoms, n_features = len(batch.species), len(potential.feature_shift)
    atomic = np.zeros(n_atoms)
    force = np.zeros((n_atoms, 3))
    strain = np.zeros((len(structures), 3, 3))
    values = np.zeros((n_atoms if descriptors else 0, n_features))
    _call(
        _structures.evaluate, *potential.descriptors.arguments(), *potential.networks.arguments(),
        potential.weights, potential.feature_shift, potential.feature_factor, potential.energy_scale,
        potential.energy_shift, potential.energy_atomic, *batch.arguments(), int(forces), _threads(threads),
        atomic, force.T, strain.T, values.T, names=batch.names,
    )
    results = []
    for s, (a, b) in enumerate(zip(batch.first_atom, batch.first_atom[1:])):
        turned = 0.5 * (strain[s] + strain[s].T) if forces else None
        results.append(Evaluation(atomic[a:b], force[a:b] if forces else None, turned,
                                  values[a:b] if descriptors else None))
    return results


# --- training -----------------------------------------------------------------------------------


def energy_loss(
    features: np.ndarray,
    panel_offset: np.ndarray,
    panel_width: np.ndarray,
    block_first: np.ndarray,
    atom_offset: np.ndarray,
    atom_count: np.ndarray,
    networks: NetworkTables,
    weights: np.ndarray,
    energy_ref: np.ndarray,
    factor: np.ndarray,
    structure_weight: np.ndarray,
    gradient: np.ndarray | None,
    threads: int,
    group: np.ndarray | None = None,
) -> tuple[float, np.ndarray]:
    """Return ½ Σ weight·(factor·(E_ref − E))² and the energies (n_structure,); fill `gradient` if given.

    The arrays are those of `dataset.PackedDataset`.  Structures of one `group` (n_structure,) int32, not 0,
    consecutive and in one block, count with their residual minus the mean residual of the group.  The
    same result for any number of threads.

    Raises
    ------
    KeyboardInterrupt
        if the user interrupts.
    """
    energy = np.empty(len(energy_ref))
    loss = _call(
        _training.energy_loss, features, panel_offset.T, panel_width.T, block_first, atom_offset.T, atom_count.T,
        *networks.arguments(), weights, energy_ref, factor, structure_weight,
        np.zeros(len(energy_ref), dtype=np.int32) if group is None else group, int(gradient is not None),
        _threads(threads), energy, np.empty(0) if gradient is None else gradient,
    )
    return float(loss), energy


class Lbfgs:
    """L-BFGS by reverse communication (state in NumPy arrays, steps in the engine).

    ``step(loss, gradient)`` takes both at ``weights`` and moves ``weights`` to the next trial point.
    """

    full_batch = True
    RUNNING, CONVERGED, STUCK = "running", "converged", "stuck"
    _TASKS = {1: RUNNING, 2: CONVERGED, 3: STUCK}

    def __init__(self, weights: np.ndarray, memory: int = 20, tolerance: float = 1.0e-6) -> None:
        n_integers, n_reals = _training.lbfgs_sizes()
        n = len(weights)
        self.tolerance = tolerance
        self.state = {
            "weights": np.array(weights, dtype=np.float64),
            "s": np.zeros((memory, n)), "y": np.zeros((memory, n)), "rho": np.zeros(memory),
            "x_start": np.zeros(n), "g_start": np.zeros(n), "direction": np.zeros(n),
            "reals": np.zeros(n_reals), "integers": np.zeros(n_integers, dtype=np.int32),
        }

    @property
    def weights(self) -> np.ndarray:
        """(n_weight,) the point where loss and gradient are wanted next."""
        return self.state["weights"]

    @property
    def restarts(self) -> int:
        """How often the memory was thrown away because a line search failed."""
        return int(self.state["integers"][5])

    def step(self, loss: float, gradient: np.ndarray) -> str:
        """Take one step; return RUNNING, CONVERGED (largest gradient component below tolerance) or STUCK."""
        v = self.state
        _call(
            _training.lbfgs, self.tolerance, v["weights"], float(loss), gradient, v["s"].T, v["y"].T, v["rho"],
            v["x_start"], v["g_start"], v["direction"], v["reals"], v["integers"],
        )
        return self._TASKS[int(v["integers"][0])]

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from a saved `state`.

        Raises
        ------
        TaylorfitError
            if it belongs to another network or memory.
        """
        if any(key not in state or state[key].shape != own.shape for key, own in self.state.items()):
            raise TaylorfitError("the optimiser state does not fit the networks")
        for key, own in self.state.items():
            own[...] = state[key]
