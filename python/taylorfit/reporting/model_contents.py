"""What setups, potentials, checkpoints and input files hold, in words and as plain data."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from os import PathLike
from typing import Any

import numpy as np

from ..analysis.errors import error_lines, errors_in
from ..errors import FormatError
from ..formats.aenet.records import printable
from ..formats.archive import load_arrays
from ..model.activations import ACTIVATIONS
from ..model.descriptor import CHEBYSHEV, DescriptorSetup, function_text, symmetry_function
from ..model.network import Network, SpeciesPotential
from ..model.predictions import Predictions
from ..model.scaling import standardisation

Description = tuple[list[str], dict[str, Any]]
"""Lines to print, and the same as data for the report."""


def chebyshev_weights(n_environment: int) -> list[int]:
    """Return ænet's weights of the species by their place in ENV; with one species there are none."""
    if n_environment == 1:
        return []
    start = -(n_environment // 2)
    weights = [w for w in range(start, n_environment + 1) if w != 0 or n_environment % 2]
    return weights[:n_environment]


def describe_setup(setup: DescriptorSetup, functions: bool = True) -> Description:
    """Describe a descriptor setup and its statistics; with `functions` each symmetry function."""
    lines = [f"descriptor of {setup.species}: {setup.in_words}, RMIN {setup.r_min:g} Å"]
    data: dict[str, Any] = {
        "species": setup.species,
        "environment": list(setup.environment),
        "basis": setup.basis,
        "n_features": setup.n_feature,
        "cutoff": setup.r_cut,
        "r_min": setup.r_min,
        "description": setup.description,
    }
    if setup.kind == CHEBYSHEV:
        radial_cutoff, radial_order, angular_cutoff, angular_order = setup.parameters[0].tolist()
        weights = chebyshev_weights(len(setup.environment))
        lines.append(
            f"  radial cutoff {radial_cutoff:g} Å, order {radial_order:.0f}; "
            f"angular cutoff {angular_cutoff:g} Å, order {angular_order:.0f}"
        )
        lines.append(
            "  environment "
            + (
                ", ".join(f"{s} (weight {w:+d})" for s, w in zip(setup.environment, weights))
                if weights
                else f"{setup.environment[0]}; species are not told apart"
            )
        )
        data.update(
            radial_cutoff=radial_cutoff,
            radial_order=int(radial_order),
            angular_cutoff=angular_cutoff,
            angular_order=int(angular_order),
            weights=weights,
        )
    else:
        counts = Counter(setup.function.tolist())
        lines.append(
            f"  environment {' '.join(setup.environment)}; " + ", ".join(f"{n} G{g}" for g, n in sorted(counts.items()))
        )
        data["functions"] = [symmetry_function(setup, f) for f in range(setup.n_feature)]
        if functions:
            lines += [f"  {function_text(function)}" for function in data["functions"]]
    text = " / ".join(part.strip() for part in setup.description.split("$$") if part.strip())
    if text:
        lines.append(f"  “{printable(text, 200)}”")
    if setup.statistics is not None:
        extra, data["statistics"] = _describe_statistics(setup)
        lines += extra
    return lines, data


def _describe_statistics(setup: DescriptorSetup) -> Description:
    s = setup.statistics
    assert s is not None
    constant = int((standardisation(s)[1] == 0).sum())
    deviation = np.sqrt(np.maximum(s.mean_square - s.mean**2, 0.0))
    data = {
        "n_atoms": s.n_evaluated,
        "n_constant": constant,
        "minimum": s.minimum,
        "maximum": s.maximum,
        "mean": s.mean,
        "deviation": deviation,
    }
    if s.n_evaluated == 0:
        return ["  statistics: none, the species does not occur"], data
    lines = [
        f"  statistics over {s.n_evaluated} atoms: values {s.minimum.min():.4g} … {s.maximum.max():.4g}, "
        f"standard deviations {deviation.min():.3g} … {deviation.max():.3g}"
    ]
    if constant:
        lines.append(f"  {constant} of {setup.n_feature} values are constant and count for nothing")
    return lines, data


def describe_network(network: Network) -> Description:
    """Describe the architecture and the weights."""
    names = [ACTIVATIONS[code] for code in network.activations]
    layers = "-".join(map(str, network.layer_sizes))
    largest = float(np.abs(network.weights).max(initial=0.0))
    lines = [f"network {layers}, {' '.join(names)}; {network.n_weights} weights and biases, largest {largest:.4g}"]
    return lines, {
        "layers": list(network.layer_sizes),
        "activations": names,
        "n_weights": network.n_weights,
        "largest_weight": largest,
    }


def describe_potential(potential: SpeciesPotential) -> Description:
    """Describe a potential: network, scaling, training set, descriptor."""
    info = potential.info
    lines, network = describe_network(potential.network)
    lines = [f"species {potential.species}", *lines]
    setup_lines, setup = describe_setup(potential.setup, functions=False)
    energies = {symbol: float(energy) for symbol, energy in zip(info.species, info.atomic_energies)}
    low, high, mean = (e / info.scale + info.shift for e in (info.energy_min, info.energy_max, info.energy_mean))
    lines += [
        f"energy = output/scale + shift: scale {info.scale:.10g} per eV, shift {info.shift:.10g} eV/atom",
        f"atomic energies {', '.join(f'{s} {e:.8g} eV' for s, e in energies.items())}",
        f"trained on {printable(info.file) or 'a file without name'}: {info.n_structures} structures, "
        f"{info.n_atoms} atoms, {low:.6g} … {high:.6g} eV/atom, mean {mean:.6g}",
        *setup_lines,
    ]
    return lines, {
        "species": potential.species,
        "network": network,
        "setup": setup,
        "scale": info.scale,
        "shift": info.shift,
        "normalised": info.normalised,
        "atomic_energies": energies,
        "training_set": {
            "file": info.file,
            "n_structures": info.n_structures,
            "n_atoms": info.n_atoms,
            "energy_min": low,
            "energy_max": high,
            "energy_mean": mean,
        },
    }


def describe_checkpoint(path: str | PathLike[str]) -> Description:
    """Describe a checkpoint of train.

    Raises
    ------
    FormatError
        if it is damaged.
    """
    try:
        arrays = load_arrays(path)
        next_epoch, best = map(int, arrays["counters"].tolist())
        history = arrays["history"].astype(np.float64, casting="same_kind")
        history = history.reshape(len(history), -1)
        seconds, status = float(arrays["seconds"].item()), str(arrays["status"])
        n_weights, version = len(arrays["last_weights"]), int(arrays["version"].item())
        rows = {name: history[row, [1, 2, 3, 4]].tolist() for name, row in (("best", best), ("last", len(history) - 1))}
    except Exception as error:  # a damaged archive, or strange arrays in it, fail in whatever way they do
        raise FormatError(
            f"is not a checkpoint or is damaged ({error})", file=path, expected="a file written by train"
        ) from None
    lines = [
        f"training {printable(status)} before epoch {next_epoch}; {len(history)} epochs in {seconds:.1f} s; "
        f"{n_weights} weights",
        "               train MAE   train RMSE     test MAE    test RMSE   meV/atom",
    ]
    for name, row in rows.items():
        epoch = best if name == "best" else next_epoch - 1
        lines.append(f"{name} {epoch:6d}  " + " ".join(f"{1e3 * value:12.4f}" for value in row))
    optimiser = sorted(key.partition(".")[2] for key in arrays if key.startswith("optimiser."))
    keys = ("train_mae", "train_rmse", "test_mae", "test_rmse")
    return lines, {
        "next_epoch": next_epoch,
        "best_epoch": best,
        "n_epochs": len(history),
        "seconds": seconds,
        "status": status,
        "n_weights": n_weights,
        "version": version,
        "optimiser": optimiser,
        **{name: dict(zip(keys, row)) for name, row in rows.items()},
    }


def describe_predictions(predictions: Predictions) -> Description:
    """Describe predictions: for what, by which potentials, and their errors."""
    n_atoms = len(predictions.symbols)
    files = [printable(file) for file in predictions.potentials]
    errors = errors_in(predictions)
    label = printable(predictions.label)
    lines = [
        f"“{label}”: {predictions.n_structures} structures, {n_atoms} atoms, by {' '.join(files)}",
        *error_lines(errors),
    ]
    return lines, {
        "label": label,
        "potentials": files,
        "n_structures": predictions.n_structures,
        "n_atoms": n_atoms,
        "errors": errors.to_dict(),
    }


def describe_md_checkpoint(path: str | PathLike[str]) -> Description:
    """Describe a checkpoint of md: how far each run is.

    Raises
    ------
    FormatError
        if it is damaged.
    """
    try:
        arrays = load_arrays(path)
        walks = [json.loads(str(arrays[f"{k}.plain"])) for k in range(int(arrays["n_walks"]))]
        rows = [
            {key: walk[key] for key in ("label", "start", "seed", "step", "ended", "first_extrapolation")}
            for walk in walks
        ]
    except Exception as error:  # a damaged archive, or strange arrays in it, fail in whatever way they do
        raise FormatError(
            f"is not a checkpoint or is damaged ({error})", file=path, expected="a file written by md"
        ) from None
    lines = [
        f"{printable(row['label'])}, start {row['start']} (seed {row['seed']}): step {row['step']}"
        + (f", {printable(row['ended'])}" if row["ended"] else "")
        for row in rows
    ]
    return lines, {"walks": rows}


def describe_input(settings: Any) -> Description:
    """Describe the dataclass of an input file: keywords and values, defaults included."""
    data = {field.name: _as_data(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    lines = []
    for name, value in data.items():
        if isinstance(value, (list, tuple)) and len(value) > 8:
            lines.append(f"{name.upper():22s} {len(value)} entries")
        else:
            lines.append(f"{name.upper():22s} {printable(_plain(value), 160)}")
    return lines, data


def _as_data(value: Any) -> Any:
    """Dataclasses as dicts; the name of a method is a class variable, which asdict leaves out."""
    if dataclasses.is_dataclass(value):
        name = getattr(value, "name", None)
        own = {"name": name} if isinstance(name, str) else {}
        return {**own, **{field.name: _as_data(getattr(value, field.name)) for field in dataclasses.fields(value)}}
    if isinstance(value, (list, tuple)):
        return [_as_data(part) for part in value]
    return value


def _plain(value: Any, separator: str = "; ") -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k}={_plain(v, ' ')}" for k, v in value.items() if v not in (None, {}))
    if isinstance(value, (list, tuple)):
        return separator.join(_plain(part, " ") for part in value) or "none"
    return "none" if value is None else str(value)
