"""Accuracy, agreement with the original, and whether the written file computes the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from onnx import ModelProto
from torch import Tensor, nn

from .data import Images, batches
from .errors import FinetuneError
from .network import device_of

_SAME = 1e-3


@dataclass(frozen=True)
class Score:
    """How often a network is right, and how often it says what the original says."""

    agreement: float
    accuracy: float | None = None

    @property
    def figure(self) -> float:
        """The one that checkpoints are chosen by: accuracy where there are labels."""
        return self.agreement if self.accuracy is None else self.accuracy

    def __str__(self) -> str:
        """Percentages."""
        agreement = f"{self.agreement:.2%} agreement with the original"
        return agreement if self.accuracy is None else f"{self.accuracy:.2%} right, {agreement}"


@torch.no_grad()
def predictions(module: nn.Module, images: Images, batch_size: int) -> Tensor:
    """The class of every image, or of every pixel where the network gives maps."""
    module.eval()
    device = device_of(module)
    parts = [module(batch).argmax(1).cpu() for batch in batches(images, batch_size, device)]
    return torch.cat(parts)


def score(module: nn.Module, images: Images, original: Tensor, batch_size: int) -> Score:
    """Compares with the labels and with the original's ``predictions``."""
    found = predictions(module, images, batch_size)
    agreement = float((found == original).double().mean())
    labels = images.labels
    if labels is None or found.dim() != 1 or not (labels >= 0).any():
        return Score(agreement)
    known = labels >= 0
    return Score(agreement, float((found[known] == labels[known]).double().mean()))


@torch.no_grad()
def check_file(model: ModelProto, module: nn.Module, images: Images, count: int = 32) -> float:
    """Runs the file with onnxruntime; returns the typical difference of its logits.

    A sum that is zero but for rounding may get either sign, which moves single images: hence the
    median over images decides, and an image may differ by more.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    module = module.eval().cpu()
    differences = []
    for index in range(min(count, len(images))):
        x = images.batch(torch.tensor([index]), None, "none").cpu()
        expected = module(x).numpy()
        found = session.run(None, {name: x.numpy()})[0]
        scale = max(1.0, float(np.abs(expected).max()))
        differences.append(float(np.abs(found - expected).max()) / scale)
    difference = float(np.median(differences))
    if not difference <= _SAME:
        raise FinetuneError(
            f"the written file's logits differ from the tuned network's by {difference:.2g} in "
            "onnxruntime; please report the model's operators"
        )
    return difference
