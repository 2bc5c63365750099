"""What is told about a run of molecular dynamics."""

WALK_KEYS = {
    "potential": "label of the potential",
    "start": "number of the start, from 1",
    "seed": "of velocities and thermostat",
    "steps": "steps done, equilibration not counted",
    "verdict": "held, left its data at …, or collapsed at …; running where it was interrupted",
    "status": "finished, running (interrupted), exploded, collapsed or extrapolated, with the reason",
    "first_extrapolation": "step of the first structure unlike the training data; negative: during equilibration",
    "extrapolation": "what it was",
    "worst": "furthest that a descriptor was outside the training data, σ; null: never beyond the tolerance",
    "worst_force_std": "most that members of a committee differed by in a force, eV/Å; null: never beyond the limit",
    "n_dumped": "structures written for the next round of training",
    "drift": "slope of the total energy, meV/atom/ps (NVE)",
    "drift_error": "its standard error, meV/atom/ps",
    "fluctuation": "standard deviation of the total energy, meV/atom (NVE)",
    "largest_change": "largest distance of the total energy from its first value, meV/atom (NVE)",
    "relative_drift": "|drift| over the standard deviation of the kinetic energy, 1/ps",
    "temperature": "mean, K",
    "temperature_std": "standard deviation, K",
    "potential_energy": "mean, eV/atom",
}
"""What the keys of a walk in the report (and the columns of the CSV file) mean."""
