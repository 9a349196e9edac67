"""Whether network, loss and images fit each other, told in words before anything is computed."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import Tensor, nn

from landscape.datasets import ArrayDataset
from landscape.errors import DataError, LandscapeError, ShapeError, UsageError
from landscape.losses import PerExampleLoss, bce, mse
from landscape.space import batchnorm_layers, borrowed


def check_fit(model: nn.Module, data: ArrayDataset, loss: PerExampleLoss | None = None) -> None:
    """Send one image through a network and its loss; the network and the random state are left as they are.

    Args:
        model: The network.
        data: The images, anywhere.
        loss: The per-example loss; None where it does not matter.

    Raises:
        ShapeError: The network fails on an image.
        DataError: Its outputs do not fit the classes.
        LandscapeError: What the network or the loss itself says in words.
    """
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(0))
    image, target = (t.to(like.device) for t in data.batch([0]))
    training = model.training
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            outputs = model.eval()(image.to(like.dtype))
    except LandscapeError:
        raise
    except Exception as error:  # a network of the user's own may fail in any way
        shape = " x ".join(str(side) for side in data.shape)
        raise ShapeError(
            f"the network cannot take the images of {data.name}, which are {shape}: {str(error).rstrip('.')}. Bring "
            "them to a size that it takes with --image-size and --channels, or choose another --dataset."
        ) from error
    finally:
        model.train(training)
    if isinstance(outputs, Tensor) and outputs.ndim == 2:
        check_outputs(outputs.shape[1], data, loss)
        if loss is not None:
            loss(outputs.float(), target)


def check_batch(model: nn.Module, data: ArrayDataset, batch_size: int) -> None:
    """Refuse batches of one image where a BatchNorm layer would see a single value per channel.

    Args:
        model: The network; it is left as it is.
        data: The images, anywhere.
        batch_size: Images of a step.

    Raises:
        UsageError: The network cannot be trained on single images.
    """
    if batch_size > 1 or not batchnorm_layers(model):
        return
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(0))
    image, _ = data.batch([0])
    with borrowed(model) as lent, torch.no_grad(), suppress(RuntimeError):  # other faults are told when it is trained
        try:
            lent.train()(image.to(like))
        except ValueError as error:
            if "more than 1 value per channel" in str(error):
                raise UsageError(
                    "batches of one image were asked for, in which a BatchNorm layer of this network sees one value "
                    "per channel: that has no variance. Take at least two images a step (--batch-size 2), or a "
                    "network without BatchNorm."
                ) from error


def check_outputs(outputs: int, data: ArrayDataset, loss: PerExampleLoss | None = None) -> None:
    """Refuse a number of outputs that does not fit the classes.

    Args:
        outputs: Outputs of the network.
        data: The images.
        loss: The per-example loss: one that compares with one-hot targets knows no further classes.

    Raises:
        DataError: There are too few outputs, or too many for the loss.
    """
    classes = len(data.classes)
    if outputs < classes:
        raise DataError(
            f"the network has {outputs} outputs, {data.name} has {classes} classes: choose the data set that "
            "it was trained on (--dataset)"
        )
    if outputs > classes and loss in {mse, bce}:
        raise DataError(
            f"the network has {outputs} outputs, {data.name} has {classes} classes: mse and bce compare all outputs "
            f"with one-hot targets, and what the other {outputs - classes} should be is unknown. Build the network "
            f"with --model-option num_classes={classes}, or use --loss cross_entropy"
        )
