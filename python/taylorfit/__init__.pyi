# Written by python/write_stub.py: do not edit

from . import plotting as plotting
from .analysis.errors import Errors as Errors
from .data.check import DataCheck as DataCheck
from .data.check import Finding as Finding
from .data.check import check as check
from .data.propose import propose as propose
from .data.read import read as read
from .data.setup import Setup as Setup
from .data.split import split as split
from .data.write import write as write
from .errors import DataWarning as DataWarning
from .errors import EngineError as EngineError
from .errors import FormatError as FormatError
from .errors import InputError as InputError
from .errors import TaylorfitError as TaylorfitError
from .generation.displace import displace as displace
from .generation.generate import generate as generate
from .generation.repel import repel as repel
from .generation.suggest import suggest as suggest
from .model.descriptor import DescriptorSetup as DescriptorSetup
from .model.descriptor import chebyshev_setup as chebyshev_setup
from .model.network import SpeciesPotential as SpeciesPotential
from .model.predictions import Predictions as Predictions
from .model.structure import Structure as Structure
from .model.trainset import TrainingSet as TrainingSet
from .potential.calculator import Calculator as Calculator
from .potential.extrapolation import ExtrapolationError as ExtrapolationError
from .potential.extrapolation import ExtrapolationWarning as ExtrapolationWarning
from .potential.potential import Potential as Potential
from .potential.predict import predict as predict
from .settings.displacements import TaylorOptions as TaylorOptions
from .settings.forces import Centred as Centred
from .settings.forces import Directional as Directional
from .settings.forces import Energy as Energy
from .settings.forces import Exact as Exact
from .settings.forces import Taylor as Taylor
from .settings.methods import Adam as Adam
from .settings.methods import Bfgs as Bfgs
from .settings.methods import Ekf as Ekf
from .settings.methods import Lm as Lm
from .settings.methods import OnlineSd as OnlineSd
from .taylor.displacements import AntitheticDisplacements as AntitheticDisplacements
from .taylor.displacements import CartesianDisplacements as CartesianDisplacements
from .taylor.displacements import RandomDisplacements as RandomDisplacements
from .taylor.modes import ModeDisplacements as ModeDisplacements
from .taylor.orthogonal import OrthogonalDisplacements as OrthogonalDisplacements
from .taylor.strain import StrainDisplacements as StrainDisplacements
from .training.committee import CommitteeFit as CommitteeFit
from .training.fit import Fit as Fit
from .training.fit import History as History
from .training.loop import Epoch as Epoch
from .training.train import train as train
from .training.train import train_committee as train_committee

__version__: str
EXPORTS: dict[str, tuple[str, ...]]
