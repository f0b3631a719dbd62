"""Fine-tunes a network with Block-ReLUs in place, for Trefoil's three-party inference.

``BlockReLU``, ``BlockClip`` and ``apply_assignment`` for torch models; ``python -m
trefoil_finetune`` for ONNX files.
"""

from .apply import apply_assignment, relu_names
from .assignment import Assignment, AssignmentError, drelus
from .block_relu import BlockClip, BlockReLU
from .data import Pixels, open_images
from .errors import FinetuneError
from .preprocess import Preprocess
from .settings import Settings
from .tune import Tuned, Tuning

__all__ = [
    "Assignment",
    "AssignmentError",
    "BlockClip",
    "BlockReLU",
    "FinetuneError",
    "Pixels",
    "Preprocess",
    "Settings",
    "Tuned",
    "Tuning",
    "apply_assignment",
    "drelus",
    "open_images",
    "relu_names",
]
