"""Energy against Taylor and group-centred Taylor training on Li8Mo2Ni7Ti7O32, the third system of Cooper et al. 2020.

python tests/bench/lmnto.py [--epochs 1000] [--fraction 70] [--delta 0.03] [--seeds 1 2 3]

Reads the public set in ../shared/data/lmnto (or TAYLORFIT_SHARED); every fifth file is held out
and only used for the errors printed.  Not part of `make bench`, for it takes many minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

TYPES = {"Li": -5.0, "Mo": -15.0, "Ni": -10.0, "Ti": -12.0, "O": -7.0}
"""Arbitrary atomic energies (eV): the composition never changes."""

PAPER = {"energy": "paper: 4.6 and 0.92", "taylor": "paper: 4.9 and 0.66", "centred": "same copies, FORCES mode=centred"}
"""Energy RMSE (meV/atom) and mean |F − F_ref| (eV/Å) of the paper at δ = 0.03 Å, a = 70."""


def shared() -> Path:
    """The folder with the public data."""
    return Path(os.environ.get("TAYLORFIT_SHARED", Path(__file__).resolve().parents[3] / "shared"))


def prepare(folder: Path, delta: float, fraction: float, epochs: int, seed: int) -> None:
    """Write inputs and unpack the structures, every fifth into validation/."""
    archive = shared() / "data/lmnto/train.tar.xz"
    if not archive.exists():
        sys.exit(f"skipped: {archive} is not there")
    for name in ("xsf", "validation"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        members = sorted((m for m in tar.getmembers() if m.name.endswith(".xsf")), key=lambda m: m.name)
        for index, member in enumerate(members):
            target = folder / ("validation" if index % 5 == 2 else "xsf") / Path(member.name).name
            target.write_bytes(tar.extractfile(member).read())
    environment = "\n".join(TYPES)
    for symbol in TYPES:
        (folder / f"{symbol}.stp").write_text(
            f"DESCR\nChebyshev 20/2, 6.5/3.5\nEND DESCR\nATOM {symbol}\nENV {len(TYPES)}\n{environment}\nRMIN 1.0\n"
            "BASIS type=Chebyshev\nradial_Rc=6.5 radial_N=20 angular_Rc=3.5 angular_N=2\n")
    lines = "".join(f"{symbol} {energy}\n" for symbol, energy in TYPES.items())
    setups = "".join(f"{symbol} {symbol}.stp\n" for symbol in TYPES)
    (folder / "generate.in").write_text(
        f"OUTPUT lmnto.train\n\nTYPES\n{len(TYPES)}\n{lines}\nSETUPS\n{setups}\nDERIVATIVES\n"
        f"method=taylor delta={delta} fraction={fraction} disp_all=1 N_max=10000000 outfile=lmnto.taylor.train seed={seed}\n"
        "\nFILES\n1\nxsf/*.xsf\n")
    for mode in PAPER:
        networks = "".join(f"{symbol} {symbol}.{mode}.nn 2 10:tanh 10:tanh\n" for symbol in TYPES)
        (folder / f"{mode}.in").write_text(
            "TRAININGSET lmnto.train\n" + ("TAYLORSET lmnto.taylor.train\n" if mode != "energy" else "")
            + ("FORCES mode=centred beta=1e-3\n" if mode == "centred" else "")
            + f"VALIDATION validation/*.xsf\nVALIDATIONEVERY 50\nTESTPERCENT 10\nITERATIONS {epochs}\nSEED {seed}\n"
            f"METHOD\nbfgs\n\nNETWORKS\n{networks}")


def run(folder: Path, *command: str) -> None:
    """Run taylorfit in the folder."""
    subprocess.run([sys.executable, "-m", "taylorfit", *command], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Train all ways for each seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--fraction", type=float, default=70)
    parser.add_argument("--delta", type=float, default=0.03)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    root = arguments.folder or Path(tempfile.mkdtemp(prefix="lmnto-"))
    print(f"LMNTO, 48-10-10-1, δ {arguments.delta} Å, a = {arguments.fraction:g}, {arguments.epochs} epochs, in {root}")
    print("errors on 125 held-out structures: energy RMSE meV/atom, mean |F − F_ref| eV/Å, force component MAE eV/Å")
    for seed in arguments.seeds:
        folder = root / f"seed{seed}"
        prepare(folder, arguments.delta, arguments.fraction, arguments.epochs, seed)
        run(folder, "generate", "generate.in", "--report", "generate.json", "--force")
        for mode in PAPER:
            run(folder, "train", f"{mode}.in", "--report", f"{mode}.json", "--fresh")
            report = json.loads((folder / f"{mode}.json").read_text())
            for which, key in (("best test epoch", "validation"), ("last epoch", "validation_last")):
                e = report[key]
                print(f"seed {seed} {mode:7s} {which:15s} E {1e3 * e['energy_rmse']:6.2f}  F {e['force_error_norm_mean']:.3f}"
                      f"  component {e['force_mae']:.3f}   ({PAPER[mode]});"
                      f" {1e3 * report['seconds_per_epoch']:.0f} ms per epoch", flush=True)


if __name__ == "__main__":
    main()
