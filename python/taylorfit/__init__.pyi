# Written by python/write_stub.py: do not edit

from .data.check import DataCheck as DataCheck
from .data.check import Finding as Finding
from .data.check import check as check
from .data.read import read as read
from .data.split import split as split
from .errors import DataWarning as DataWarning
from .errors import EngineError as EngineError
from .errors import FormatError as FormatError
from .errors import InputError as InputError
from .errors import TaylorfitError as TaylorfitError
from .model.structure import Structure as Structure
from .potential.calculator import Calculator as Calculator
from .potential.extrapolation import ExtrapolationError as ExtrapolationError
from .potential.extrapolation import ExtrapolationWarning as ExtrapolationWarning
from .potential.potential import Potential as Potential

__version__: str
EXPORTS: dict[str, tuple[str, ...]]
