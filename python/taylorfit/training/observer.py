"""Who watches a training: a training prints nothing itself, it tells an observer, which may also stop it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from ..analysis.errors import Errors
from ..errors import TaylorfitError
from ..tools.interrupts import Interrupt
from ..tools.progress import Advance, Steps, no_steps, progress
from .loop import Epoch, Training

if TYPE_CHECKING:
    from .fit import Fit
    from .memory import Storage
    from .prepare import Problem

Told = Callable[[Epoch], bool | None]
"""Called after each epoch; True ends the training."""


class Observer:
    """Looks away.  Who wants to know more overrides what is called, in the order below.

    Attributes
    ----------
    interrupt
        says where an interrupt is obeyed at once, or brings one to a thread that gets no signals; else it does nothing
    """

    def __init__(self, interrupt: Interrupt | None = None) -> None:
        self.interrupt = interrupt or Interrupt()

    def steps(self, title: str, total: int, unit: str = "structures") -> AbstractContextManager[Advance]:
        """Around a part of the preparation that takes long."""
        return no_steps(title, total, unit)

    def planned(self, storage: Storage) -> None:
        """It is known how much memory the data will take, and where they go; now they are packed."""

    def prepared(self, problem: Problem) -> None:
        """The data are read, split and packed."""

    def epochs(self, training: Training, last: int) -> AbstractContextManager[Told]:
        """Around all epochs, up to number `last`."""
        return nullcontext(lambda epoch: None)

    def checkpoints_asked(self) -> int:
        """How often somebody has asked for a checkpoint so far."""
        return 0

    def checkpoint_failed(self, error: TaylorfitError, at_end: bool) -> None:
        """A checkpoint could not be written, as on a full disk; until its end the training goes on and tries again."""

    def trained(self, fit: Fit) -> None:
        """The epochs are over; errors on the validation structures are not yet known."""

    def ended(self, fit: Fit) -> None:
        """The result, complete."""


class ProgressObserver(Observer):
    """Shows how far it is: by default bars, or lines where there is no terminal (see `tools.progress`)."""

    def __init__(self, show: Steps = progress, interrupt: Interrupt | None = None) -> None:
        super().__init__(interrupt)
        self._show = show

    def steps(self, title: str, total: int, unit: str = "structures") -> AbstractContextManager[Advance]:
        """Show how far it is."""
        return self._show(title, total, unit)

    @contextmanager
    def epochs(self, training: Training, last: int) -> Iterator[Told]:
        """Show how far it is, and the errors."""
        with self._show("train", last, "epochs") as update:
            yield lambda epoch: update(epoch.epoch, epoch_note(epoch, training.state.validation))


class CallbackObserver(Observer):
    """Calls a function after each epoch, which ends the training by True."""

    def __init__(self, function: Callable[[Epoch], bool | None], interrupt: Interrupt | None = None) -> None:
        super().__init__(interrupt)
        self._function = function

    def epochs(self, training: Training, last: int) -> AbstractContextManager[Told]:
        """Pass the epochs on."""
        return nullcontext(self._function)


def observer_of(progress: bool | Callable[[Epoch], bool | None] | Observer) -> Observer:
    """The observer that an argument `progress` stands for."""
    if isinstance(progress, Observer):
        return progress
    if callable(progress):
        return CallbackObserver(progress)
    return ProgressObserver() if progress else Observer()


def epoch_note(epoch: Epoch, validation: Sequence[tuple[int, Errors]] = ()) -> str:
    """The errors of an epoch in a few words; `validation` are (epoch, errors) on the validation structures so far."""
    note = f"train {1e3 * epoch.train_rmse:.2f}, test {1e3 * epoch.test_rmse:.2f} meV/atom"
    if epoch.test_force_rmse is not None:
        return f"{note}, test forces {epoch.test_force_rmse:.3f} eV/Å"
    if not validation or validation[-1][1].force_mae is None:
        return note
    return f"{note}, validation forces {validation[-1][1].force_mae:.3f} eV/Å"
