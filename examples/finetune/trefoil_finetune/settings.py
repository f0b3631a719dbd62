"""What a tuning run can be told; the defaults are meant to be left alone."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, cos, pi, sqrt
from typing import Literal

import torch

from .data import Augment

_STEPS = 4000

_MOSTLY = 0.75
"""The agreement from which on a network mostly answers like the original."""

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class Settings:
    """The recipe: SGD with Nesterov momentum on a warm-up and a cosine, distilling the original."""

    epochs: int | None = None
    """Passes over the training images; ``None``: as many as make some 4,000 steps, 10 to 200."""
    budget_minutes: float | None = None
    """End by then, whatever ``epochs`` says: the rate falls with the clock instead of the count."""
    batch_size: int = 128
    """Images a step."""
    rate: float | None = None
    """The highest learning rate; ``None``: 0.05 with batch norm, 0.002 without, a fifth of that for
    a network that still mostly answers like the original, and less in a run of few steps."""
    warm_up: float = 0.05
    """The part of the run in which the rate rises."""
    momentum: float = 0.9
    weight_decay: float = 5e-4
    """On weights alone, not on biases and batch norms."""
    clip_norm: float = 5.0
    """The longest gradient."""
    temperature: float = 4.0
    """Logits are divided by it before the two networks' answers are compared."""
    label_weight: float = 0.1
    """The weight of the labels, where there are any, against that of the original's answers."""
    feature_weight: float = 0.0
    """The weight of the distance between the two networks' maps behind each ReLU."""
    average: float = 0.998
    """Decay of the running average of the weights, which is what is kept; 0 turns it off."""
    batch_norm: Literal["auto", "freeze"] = "auto"
    """Train batch norms, and put them back where the exporter folded them away; or neither."""
    augment: Augment = "crop-flip"
    seed: int = 0
    precision: Precision = "auto"
    """bfloat16 where the processor is fast at it."""
    hold_out: float = 0.025
    """The part of the data that is held out where no validation data is given."""

    def rate_at(self, progress: float, peak: float) -> float:
        """The learning rate after this part of the run: a linear rise, then half a cosine."""
        if progress < self.warm_up:
            return peak * max(progress, 1e-3) / self.warm_up
        return peak * 0.5 * (1 + cos(pi * min(1.0, (progress - self.warm_up) / (1 - self.warm_up))))

    def passes(self, steps_per_epoch: int) -> int:
        """How many epochs the run has."""
        if self.epochs is not None:
            return self.epochs
        return min(200, max(10, ceil(_STEPS / steps_per_epoch)))

    def peak(self, normed: bool, steps: int, agreement: float) -> float:
        """The highest learning rate of a run of so many steps, from this agreement on."""
        if self.rate is not None:
            return self.rate
        # A high rate forgets what the network has: right for one that has to be learnt anew.
        # (ResNet-20 at half its DReLUs: 91.0 at 0.05, 92.4 at 0.01.)
        rate = (0.05 if normed else 0.002) * (0.2 if agreement >= _MOSTLY else 1.0)
        # And it pays only where steps are left to settle down again.
        return rate * min(1.0, sqrt(steps / 1000))

    def is_bfloat16(self, device: torch.device) -> bool:
        """Whether convolutions run in bfloat16."""
        if self.precision != "auto":
            return self.precision == "bfloat16"
        if device.type == "cuda":
            return bool(torch.cuda.is_bf16_supported())
        # A processor that has it runs convolutions about twice as fast.
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return device.type == "cpu" and supported is not None and bool(supported())


def pick_device(name: str) -> torch.device:
    """``auto`` is the first accelerator there is, or the processor."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
