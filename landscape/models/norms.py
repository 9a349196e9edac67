"""Relatives of BatchNorm: with noise behind it, and with other norms in place of the standard deviation.

Both take part in the BN modes of this package. Noisy BatchNorm is BatchNorm there: its noise, like dropout, is off
outside training. An ``LpNorm`` has statistics of its own kind, which it gathers itself.

Source: Santurkar et al. 2018, arXiv:1805.11604, section 2.2 with algorithm 1, and section 3.3 with appendix B.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from landscape.errors import UsageError


class ActivationNoise(nn.Module):
    """Noise that shifts and stretches every activation, drawn anew at every step; nothing in evaluation mode.

    A unit (channel) ``j`` draws ``mu_j ~ U(-shift, shift)`` and ``sigma_j ~ U(1, stretch)``; then every activation of
    it becomes ``s * a + m`` with ``m ~ U(mu_j - spread, mu_j + spread)`` and ``s ~ N(sigma_j, spread)``. The second
    parameter of the normal distribution is taken as its standard deviation, which the paper leaves open. Positions of a
    map count as further examples. Draws come from torch's global generator, as those of dropout do.

    Args:
        shift: Largest mean shift, ``n_mu`` of the paper.
        stretch: Largest mean stretch, ``n_sigma``.
        spread: Spread of both within a unit, ``r_mu`` and ``r_sigma``.

    Source: Santurkar et al. 2018, arXiv:1805.11604, algorithm 1.
    """

    def __init__(self, shift: float = 0.5, stretch: float = 1.25, spread: float = 0.1) -> None:
        super().__init__()
        self.shift, self.stretch, self.spread = shift, stretch, spread

    def forward(self, activations: Tensor) -> Tensor:
        """Add the noise in training mode.

        Args:
            activations: Shape ``(n, c, ...)``.

        Returns:
            The same shape.
        """
        if not self.training:
            return activations
        unit = activations.new_empty(1, activations.shape[1], *[1] * (activations.ndim - 2))
        mean = torch.empty_like(unit).uniform_(-self.shift, self.shift)
        scale = torch.empty_like(unit).uniform_(1, self.stretch)
        shifts = mean + torch.empty_like(activations).uniform_(-self.spread, self.spread)
        scales = scale + torch.empty_like(activations).normal_(0, self.spread)
        return scales * activations + shifts

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"shift={self.shift}, stretch={self.stretch}, spread={self.spread}"


class NoisyBatchNorm1d(nn.BatchNorm1d):
    """BatchNorm of vectors with ``ActivationNoise`` behind it; in evaluation mode BatchNorm.

    The noise is a module of its own, with its own train flag: what switches the statistics of a BatchNorm layer alone
    to those of the batch leaves the noise off.
    """

    def __init__(self, num_features: int, **options: Any) -> None:
        super().__init__(num_features, **options)
        self.noise = ActivationNoise()

    def forward(self, input: Tensor) -> Tensor:
        """Normalize, then add noise in training mode.

        Args:
            input: Shape ``(n, c)`` or ``(n, c, length)``.

        Returns:
            The same shape.
        """
        return self.noise(super().forward(input))  # type: ignore[no-any-return]


class NoisyBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm of images with ``ActivationNoise`` behind it; see ``NoisyBatchNorm1d``."""

    def __init__(self, num_features: int, **options: Any) -> None:
        super().__init__(num_features, **options)
        self.noise = ActivationNoise()

    def forward(self, input: Tensor) -> Tensor:
        """Normalize, then add noise in training mode.

        Args:
            input: Shape ``(n, c, height, width)``.

        Returns:
            The same shape.
        """
        return self.noise(super().forward(input))  # type: ignore[no-any-return]


class LpNorm(nn.Module):
    """Subtract the mean as BatchNorm does, and divide by the average l_p norm of the input before that.

    The divisor of a channel is ``(mean |x|^p)^(1/p)`` over the batch, for ``p = inf`` the largest ``|x|``; the mean is
    not taken off it. Then gamma and beta follow. In evaluation mode the running averages of mean and norm are used.

    What the BN modes make of it: ``frozen`` takes the running averages, ``batch`` mean and norm of each evaluation
    batch, ``recalibrated`` those over the whole calibration set, where the norm for ``p = inf`` is the set's largest
    value, which grows with the set. It is no affine map with a variance, so nothing folds it into other layers.

    Args:
        num_features: Channels.
        p: 1, 2 or infinity.
        eps: Added to the norm.
        momentum: Weight of a batch in the running averages.

    Raises:
        UsageError: ``p`` is another number.

    Source: Santurkar et al. 2018, arXiv:1805.11604, section 3.3 and appendix B.
    """

    running_mean: Tensor | None

    def __init__(self, num_features: int, p: float, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        if p not in {1, 2, float("inf")}:
            raise UsageError(f"the norms there are have p = 1, 2 and infinity; got {p}")
        self.num_features, self.p, self.eps, self.momentum = num_features, p, eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(num_features)), nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self._norm_name = f"running_l{p:g}"  # the three are different functions, and their files tell them apart
        self.register_buffer(self._norm_name, torch.ones(num_features))

    def forward(self, activations: Tensor) -> Tensor:
        """Normalize every channel.

        Args:
            activations: Shape ``(n, c, ...)``.

        Returns:
            The same shape.
        """
        if self.training or self.running_mean is None:
            mean, norm = self._of_batch(activations)
            if self.training and self.running_mean is not None:
                self._remember(mean.detach(), norm.detach())
        else:
            mean, norm = self.running_mean, getattr(self, self._norm_name)
        shape = (1, -1, *[1] * (activations.ndim - 2))
        scale = self.weight / (norm + self.eps)
        return (activations - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)

    def _of_batch(self, activations: Tensor) -> tuple[Tensor, Tensor]:
        x = activations.transpose(0, 1).flatten(1)
        size = x.abs()
        if self.p == 1:
            return x.mean(dim=1), size.mean(dim=1)
        return x.mean(dim=1), size.amax(dim=1) if self.p != 2 else x.square().mean(dim=1).sqrt()

    def _remember(self, mean: Tensor, norm: Tensor) -> None:
        with torch.no_grad():
            for name, value in (("running_mean", mean), (self._norm_name, norm)):
                getattr(self, name).mul_(1 - self.momentum).add_(value, alpha=self.momentum)

    def reset_running_stats(self) -> None:
        """Set the running averages to mean 0 and norm 1."""
        if self.running_mean is not None:
            self.running_mean.zero_()
            getattr(self, self._norm_name).fill_(1)

    def gather(self, activations: Tensor, so_far: tuple[int, Tensor, Tensor] | None) -> tuple[int, Tensor, Tensor]:
        """Take the input of one more calibration batch in.

        Args:
            activations: The layer's input.
            so_far: What the last call returned; None for the first batch.

        Returns:
            Values per channel so far, their mean, and their mean ``|x|^p`` (largest ``|x|`` for infinity), float64.
        """
        x = activations.detach().double().transpose(0, 1).flatten(1)
        n, mean = x.shape[1], x.mean(dim=1)
        size = x.abs().amax(dim=1) if self.p == float("inf") else x.abs().pow(self.p).mean(dim=1)
        if so_far is None:
            return n, mean, size
        count, before, largest = so_far
        part = n / (count + n)
        whole = torch.maximum(largest, size) if self.p == float("inf") else largest.lerp(size, part)
        return count + n, before.lerp(mean, part), whole

    def keep(self, gathered: tuple[int, Tensor, Tensor]) -> None:
        """Make what ``gather`` returned the running statistics.

        Args:
            gathered: The last return value of ``gather``.
        """
        assert self.running_mean is not None
        _, mean, size = gathered
        self.running_mean.copy_(mean)
        getattr(self, self._norm_name).copy_(size if self.p == float("inf") else size.pow(1 / self.p))

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"{self.num_features}, p={self.p:g}, eps={self.eps}, momentum={self.momentum}"


Norm = Callable[[int], nn.Module]
NORMS: Mapping[str, tuple[Norm, Norm]] = {  # of maps, of vectors
    "bn": (nn.BatchNorm2d, nn.BatchNorm1d),
    "noisy_bn": (NoisyBatchNorm2d, NoisyBatchNorm1d),
    **{f"l{p:g}": (partial(LpNorm, p=p), partial(LpNorm, p=p)) for p in (1, 2, float("inf"))},
}
