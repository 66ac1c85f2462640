"""What a network is trained with, and how, as one object."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwquant.errors import HwquantError
from hwquant.progress import Progress
from hwquant.training.options import TrainOptions

if TYPE_CHECKING:
    from hwquant.training.checkpoint import Checkpoint
    from hwquant.training.loop import Data, Evaluate, OptimizerFactory
    from hwquant.training.losses import Loss


@dataclass(frozen=True, eq=False)
class Training:
    """What :func:`hwquant.training.fit` and all methods that train need, besides the network.

    Attributes
    ----------
    data : tuple of arrays, or iterable of (x, y)
        ``x`` (N, *shape) and ``y``, labels (N,) or targets, which are shuffled and cut into batches; or a loader of
        batches, any iterable. What a loader draws from torch's global generator is the same in every run: it is
        seeded before each epoch, and restored in the end.
    options : TrainOptions or None
        Epochs, optimizer, rates, seed; the defaults of the method that trains where None.
    loss : callable or None
        A function of outputs and ``y`` in place of the loss that the options name.
    optimizer : callable or None
        A function of the parameters in place of the optimizer that the options name; the schedule scales its rates.
        One that it returned before goes on with the moments that it has.
    evaluate : callable or None
        Called with the network after every epoch; its result is a score of the epoch, and goes to ``progress``.
    progress : Progress or None
        Told of every epoch, with a note on loss and score.
    checkpoint : path or None
        File that is written after every epoch.
    resume : bool
        Go on from the checkpoint: the result is the same, bit for bit, as without the interruption.

    Raises
    ------
    HwquantError
        There is no checkpoint to resume from.
    """

    data: Data
    options: TrainOptions | None = None
    loss: Loss | None = None
    optimizer: OptimizerFactory | None = None
    evaluate: Evaluate | None = None
    progress: Progress | None = None
    checkpoint: str | os.PathLike[str] | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        if self.resume and self.checkpoint is None:
            raise HwquantError("resume needs the checkpoint to resume from")

    @property
    def chosen(self) -> TrainOptions:
        """The options, or the defaults."""
        return TrainOptions() if self.options is None else self.options

    def open_checkpoint(self, method: str, **subject: Any) -> Checkpoint | None:
        """The checkpoint, which belongs to this training by a method; None where there is none.

        Parameters
        ----------
        method : str
            Its name.
        **subject : object
            What else the result depends on: network, other data, other options.

        Raises
        ------
        HwquantError
            The file cannot be resumed from; or it belongs to another training: what differs.
        """
        if self.checkpoint is None:
            return None
        from hwquant.training import Checkpoint, owner

        belongs_to = owner(
            method=method,
            training_data=self.data,
            training_options=self.chosen,
            loss=self.loss,
            optimizer=self.optimizer,
            **subject,
        )
        return Checkpoint(self.checkpoint, belongs_to, self.resume)
