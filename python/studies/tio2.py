"""TiO2, many small cells of several phases: not in the paper, but a set that its authors made public."""

from __future__ import annotations

import sys
from pathlib import Path

from datasets import place_with_held_out
from results import present, results_of, scan_study_sections
from study import MODES_SHOWN, Step, Study, main, predict_step, scan_step
from taylorfit.reporting.document import Document

PUBLIC = "github.com/atomisticnet/aenet-PyTorch, example/dir_xsf.tar.gz (1000 structures, PBE)"
SUBSET = "pt"
"""Folder to take, where there are several."""


def place_data(data: Path | None) -> None:
    """Structures."""
    place_with_held_out(data, PUBLIC, SUBSET)


def steps(scale: str) -> list[Step]:
    """Modes and predictions; of --full also single precision."""
    precision = [scan_step(name, scale) for name in ("precision", "single")] if scale == "full" else []
    return [scan_step("modes", scale), *(predict_step(shown, scale) for shown in MODES_SHOWN), *precision]


def results(scale: str) -> Document:
    """The page."""
    results_of("tio2", scale)
    return Document(f"Study tio2, {scale}", present(*scan_study_sections(scale, ("modes",), MODES_SHOWN)))


STUDY = Study("tio2", place_data, steps, results)

if __name__ == "__main__":
    sys.exit(main(STUDY, __doc__))
