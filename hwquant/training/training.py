"""What a network is trained with, and how, as one object."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwquant.errors import HwquantError
from hwquant.progress import Progress
from hwquant.training.options import TrainOptions, TuneOptions

if TYPE_CHECKING:
    from hwquant.training.checkpoint import Checkpoint
    from hwquant.training.loop import Evaluate, LabelledArrays, OptimizerFactory, TrainingData
    from hwquant.training.losses import Loss


@dataclass(frozen=True, eq=False)
class Training:
    """What :func:`hwquant.training.fit` and all methods that train need, besides the network.

    Attributes
    ----------
    data : tuple of arrays, or iterable of (x, y)
        The training data: ``x`` (N, *shape) and ``y``, labels (N,) or targets, which are shuffled and cut into
        batches; or a loader of batches, any iterable. What a loader draws from torch's global generator is the same
        in every run: it is seeded before each epoch, and restored in the end.
    options : TrainOptions or None, optional
        Epochs, optimizer, rates, seed; the defaults of the method that trains where None.
    loss : callable or None, optional
        A function of outputs and ``y`` in place of the loss that the options name.
    optimizer : callable or None, optional
        A function of the parameters in place of the optimizer that the options name; the schedule scales its rates.
        One that it returned before goes on with the moments that it has.
    validation : tuple of arrays or None, optional
        Samples x (N, *shape) and y that decide between networks, epochs and learning rates, and are not trained on.
        Where a method needs some and there are none, it holds back a share of the training data, if these are arrays:
        see :func:`hwquant.training.guard.hold_out`.
    tuning : TuneOptions or None, optional
        How a float network is fine-tuned to integers, for the methods that do so; the defaults where None.
    evaluate : callable or None, optional
        Called with the network after every epoch; its result is a score of the epoch, and goes to ``progress``.
    progress : Progress or None, optional
        Told of every epoch, with a note on loss and score.
    checkpoint : path or None, optional
        File that is written after every epoch.
    resume : bool, default False
        Go on from the checkpoint: the result is the same, bit for bit, as without the interruption.

    Raises
    ------
    HwquantError
        There is no checkpoint to resume from.
    """

    data: TrainingData
    options: TrainOptions | None = None
    loss: Loss | None = None
    optimizer: OptimizerFactory | None = None
    validation: LabelledArrays | None = None
    tuning: TuneOptions | None = None
    evaluate: Evaluate | None = None
    progress: Progress | None = None
    checkpoint: str | os.PathLike[str] | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        if self.resume and self.checkpoint is None:
            raise HwquantError("resume needs the checkpoint to resume from")

    @property
    def chosen(self) -> TrainOptions:
        """The options, or the defaults where there are none."""
        return TrainOptions() if self.options is None else self.options

    @property
    def tuned(self) -> TuneOptions:
        """How a float network is fine-tuned, or the defaults where nothing is said."""
        return TuneOptions() if self.tuning is None else self.tuning

    def open_checkpoint(self, method: str, **subject: Any) -> Checkpoint | None:
        """Open the checkpoint for one method; None where there is none.

        Parameters
        ----------
        method : str
            Name of the method that trains.
        **subject : object
            What else the result depends on: network, other data, other options.

        Returns
        -------
        Checkpoint or None
            The file, which belongs to this training by this method.

        Raises
        ------
        HwquantError
            The file cannot be resumed from; or it belongs to another training, and the message says what differs.
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
