"""Batch normalisation for networks whose exporter folded it away.

Block-ReLUs move the statistics of every map behind them; with batch normalisation in place a
network follows, and tolerates a rate at which it learns. A ``NormedConv`` is a convolution with a
batch norm that changes nothing at first, since it is set to give back the very mean and deviation
that it takes away, and that folds into weight and bias again when the network is written.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class NormedConv(nn.Module):
    """A convolution and a batch norm that stand for one convolution in the file."""

    def __init__(self, conv: nn.Conv2d, mean: Tensor, var: Tensor) -> None:
        """``mean`` and ``var``: of the convolution's output, per channel."""
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels)
        with torch.no_grad():
            stats = (
                self.norm.running_mean,
                self.norm.running_var,
                self.norm.weight,
                self.norm.bias,
            )
            values = (mean, var, (var + self.norm.eps).sqrt(), mean)
            for tensor, value in zip(stats, values, strict=True):
                assert tensor is not None
                tensor.copy_(value)
        self.norm.to(conv.weight.device)
        # The norm takes any offset away again.
        if conv.bias is not None:
            conv.bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """The normalised convolution."""
        y: Tensor = self.norm(self.conv(x))
        return y

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the one convolution that does the same."""
        mean, var = self.norm.running_mean, self.norm.running_var
        bias = self.conv.bias
        assert mean is not None
        assert var is not None
        assert bias is not None
        scale = self.norm.weight / (var + self.norm.eps).sqrt()
        weight = self.conv.weight * scale[:, None, None, None]
        return weight, (bias - mean) * scale + self.norm.bias


def norm_modules(model: nn.Module) -> list[nn.BatchNorm2d]:
    """The batch norms of a model."""
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


@torch.no_grad()
def insert_norms(model: nn.Module, batches: Iterable[Tensor], bound: set[str]) -> int:
    """Wraps the convolutions that have a bias, hence no batch norm behind; returns how many.

    ``bound`` are the paths of the modules whose tensors the file holds. Statistics are those of
    the model on ``batches``. Maps of one pixel are left alone: a batch of them says too little.
    """
    convs = {
        path: module
        for path, module in model.named_modules()
        if path in bound and isinstance(module, nn.Conv2d) and module.bias is not None
    }
    moments = {path: _Moments() for path in convs}
    handles = [conv.register_forward_hook(moments[path].hook) for path, conv in convs.items()]
    model.eval()
    for batch in batches:
        model(batch)
    for handle in handles:
        handle.remove()
    wrapped = {path: m for path, m in moments.items() if m.pixels > 1}
    for path, m in wrapped.items():
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, NormedConv(convs[path], *m.mean_and_var()))
    return len(wrapped)


@torch.no_grad()
def re_estimate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Sets the batch norms' statistics to the averages over ``batches``."""
    norms = norm_modules(model)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
    model.train()
    for batch in batches:
        model(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


class _Moments:
    """Sums that mean and variance are made of."""

    def __init__(self) -> None:
        self.count = 0
        self.pixels = 0
        self.total: Tensor | None = None
        self.squares: Tensor | None = None

    def hook(self, _module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # Apple's accelerators have no doubles.
        values = (output.cpu() if output.device.type == "mps" else output).double()
        self.pixels = output.shape[2] * output.shape[3]
        self.count += output.shape[0] * self.pixels
        total, squares = values.sum((0, 2, 3)), values.square().sum((0, 2, 3))
        self.total = total if self.total is None else self.total + total
        self.squares = squares if self.squares is None else self.squares + squares

    def mean_and_var(self) -> tuple[Tensor, Tensor]:
        assert self.total is not None
        assert self.squares is not None
        mean = self.total / self.count
        return mean.float(), (self.squares / self.count - mean.square()).clamp_min(0).float()
