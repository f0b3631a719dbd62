"""The loss: what the student is asked to reproduce of the original network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType

import torch
from torch import Tensor, nn
from torch.nn import functional


def answer_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Divergence of the two networks' softened answers, per image (or per pixel of a map)."""
    divergence = functional.kl_div(
        functional.log_softmax(student.float() / temperature, dim=1),
        functional.log_softmax(teacher.float() / temperature, dim=1),
        reduction="none",
        log_target=True,
    )
    return divergence.sum(1).mean() * temperature**2


def label_loss(student: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of the images that have a label; 0 if none has."""
    total = functional.cross_entropy(student.float(), labels, ignore_index=-1, reduction="sum")
    return total / (labels >= 0).sum().clamp_min(1)


def feature_loss(student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
    """Mean squared distance of the maps, each against the size of the original's."""
    distances = []
    for name, map_ in student.items():
        target = teacher[name].float()
        distances.append(
            (map_.float() - target).square().mean() / target.square().mean().clamp_min(1e-6)
        )
    return torch.stack(distances).mean()


class Taps:
    """Listens to the outputs of some modules, by name."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        """Starts to listen; ``outputs`` holds what the last forward gave."""
        self.outputs: dict[str, Tensor] = {}
        self._handles = [
            module.register_forward_hook(self._hook(name)) for name, module in modules.items()
        ]

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self.outputs[name] = output

        return keep

    def __enter__(self) -> Taps:
        """Itself."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Stops listening."""
        for handle in self._handles:
            handle.remove()
