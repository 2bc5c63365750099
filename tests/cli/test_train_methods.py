"""`train` from the command line with each METHOD: it learns, resumes exactly, and says what it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli_support import make_toy, report, run, succeed, taylor, train_in

METHODS = {
    "lm batchsize=12 iter=2": 3.0,
    "ekf": 2.0,
    "adam mu=0.005 batchsize=2": 2.0,
    "online_gd alpha=0.05 gamma=0.03": 2.0,
}
"""Line below METHOD; the training error falls at least by this factor in 10 epochs."""
WHAT = ("epochs", "best_epoch", "n_copies")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a training set that holds Taylor copies."""
    folder = tmp_path_factory.mktemp("toy")
    make_toy(folder, n_structures=16, extra=taylor(delta=0.02, fraction=200, strategy="random"))
    succeed(folder, "generate", "generate.in")
    return folder


def _write(folder: Path, toy: Path, method: str, iterations: int, **keywords: object) -> None:
    text = train_in(
        trainingset=str(toy / "toy.train"), iterations=iterations, checkpoint=2, threads=1, copyweight=0.5, **keywords
    )
    (folder / "train.in").write_text(text.replace("\nbfgs\n", f"\n{method}\n"))


@pytest.mark.parametrize("method", METHODS)
def test_method_learns_and_resumes_exactly(method: str, toy: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    _write(whole, toy, method, 10)
    expected = report(whole, "train", "train.in")
    errors = [epoch["train_rmse"] for epoch in expected["epochs"]]
    assert len(errors) == 11 and min(errors) < errors[0] / METHODS[method] and expected["n_copies"] > 0
    _write(parts, toy, method, 5)
    report(parts, "train", "train.in")
    _write(parts, toy, method, 10)
    resumed = report(parts, "train", "train.in", "--resume")
    assert {key: resumed[key] for key in WHAT} == {key: expected[key] for key in WHAT}
    for name in ("Ar.nn", "Ar.nn.last"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()


def test_checkpoint_of_another_method_or_sampling_is_refused(toy: Path, tmp_path: Path) -> None:
    _write(tmp_path, toy, "adam", 2)
    succeed(tmp_path, "train", "train.in")
    for method, keywords in (("ekf", {}), ("adam", {"sampling": "sequential"})):
        _write(tmp_path, toy, method, 4, **keywords)
        assert "checkpoint belongs to other data" in run(tmp_path, "train", "train.in", "--resume").complaint


def test_the_output_names_method_options_and_order(toy: Path, tmp_path: Path) -> None:
    _write(tmp_path, toy, "adam mu=0.01", 1)
    assert "method: Adam (adam mu=0.01), random" in succeed(tmp_path, "train", "train.in").out
    _write(tmp_path, toy, "online_sd", 1, sampling="energy")
    out = succeed(tmp_path, "train", "train.in", "--fresh").out
    assert "online steepest descent (online_sd), energy" in out and "far too large to learn anything" in out
