"""Random numbers: every use has a stream of its own, named here, so that one use never changes or repeats another."""

from __future__ import annotations

from enum import Enum

import numpy as np


class Stream(Enum):
    """Who is given the seed, and the first word behind it.

    numpy takes ``[seed, 3]`` and ``[seed, 3, 0]`` for the same, so no stream of a seed may begin with another one.
    Streams of different seeds may have equal words: the seeds of `generate` and `train` are chosen apart.
    """

    TEST_SET = "train", 1
    """Then the member of a committee."""
    WEIGHTS = "train", 2
    """Then the member of a committee."""
    EPOCH_ORDER = "train", 3
    """Order of the structures; then the epoch."""
    FORCE_DIRECTIONS = "train", 4
    """Then the structure."""
    FORCE_STRUCTURES = "train", 10
    """Structures whose forces are trained on."""

    CARTESIAN = "generate", 1
    """Strategies of displacements: then 0 for what is shared out, or the structure from 1 and the round."""
    RANDOM = "generate", 2
    DERIVATIVES = "generate", 3
    """Structures with descriptor derivatives."""
    ANTITHETIC = "generate", 4
    ORTHOGONAL = "generate", 5
    MODES = "generate", 6
    STRAIN = "generate", 7
    CURVATURE = "generate", 8
    """Hutchinson's estimator; then the structure."""

    SPLIT = "split", 9
    SUBSET = "scan", 5
    """Structures of a scan with axis size, of seed 1."""
    PUSHES = "repel", None
    """Only the structure."""
    EXPLORATION = "learn", 11
    """Then the round, the exploration and the start; 0: which frames the starts begin at."""
    CHECK = "learn", 12
    """Frames labelled to measure the error; then the round."""
    VELOCITIES = "md", None
    """Then the same numbers go on as the thermostat's."""
    PROJECTION = "check", None
    """Line on which frames are sorted, of seed 0."""

    def generator(self, seed: int, *place: int) -> np.random.Generator:
        """The numbers of a seed (at least 0) for one place: a structure, a member, an epoch."""
        word = self.value[1]
        return np.random.default_rng([seed, *([] if word is None else [word]), *place])
