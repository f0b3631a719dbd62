"""The preprocess description: how 8-bit images become network inputs, as ``trefoil`` reads it.

A TOML file of these keys, applied in this order: ``shorter_side`` or ``longer_side`` (bilinear,
aspect kept), ``crop`` (centre square), ``canvas`` with ``fill`` (top left on a grey square),
``scale``, ``mean``, ``std``: ``x = (byte * scale - mean) / std``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .errors import FinetuneError

Bytes = NDArray[np.uint8]
"""One image, height x width x channels."""

_SIZES = ("shorter_side", "longer_side", "crop", "canvas")
_KEYS = {*_SIZES, "fill", "scale", "mean", "std"}


@dataclass(frozen=True)
class Preprocess:
    """A validated description."""

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shorter_side: int | None = None
    longer_side: int | None = None
    crop: int | None = None
    canvas: int | None = None
    fill: float = 0.0

    @classmethod
    def load(cls, path: str | Path) -> Preprocess:
        """Reads a description; every fault is a ``FinetuneError``."""
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
            return cls.of(values)
        except OSError as error:
            raise FinetuneError(f"cannot read `{path}`: {error.strerror}") from error
        except ValueError as error:
            raise FinetuneError(
                f"the preprocess description in `{path}` is not valid: {error}"
            ) from error

    @classmethod
    def of(cls, values: dict[str, Any]) -> Preprocess:
        """Checks the keys of a description; raises ``ValueError``."""
        unknown = sorted(set(values) - _KEYS)
        missing = sorted({"scale", "mean", "std"} - set(values))
        if unknown or missing:
            raise ValueError(f"unknown keys {unknown}, missing keys {missing}")
        for key in _SIZES:
            side = values.get(key, 1)
            if not isinstance(side, int) or not 1 <= side <= 4096:
                raise ValueError(f"{key} is {side}; it must be a whole number of 1 to 4096")
        if "shorter_side" in values and "longer_side" in values:
            raise ValueError("shorter_side and longer_side exclude each other; keep one")
        if ("canvas" in values) != ("fill" in values):
            raise ValueError("canvas and fill go together; give both or neither")
        mean, std = (tuple(float(v) for v in values[key]) for key in ("mean", "std"))
        if len(mean) != len(std) or len(mean) not in (1, 3):
            raise ValueError("mean and std must both list 3 numbers (RGB) or 1 (grey)")
        if 0.0 in std or not np.isfinite([*mean, *std, values["scale"]]).all():
            raise ValueError("scale, mean and std must be finite, and std not 0")
        if not 0.0 <= values.get("fill", 0.0) <= 255.0:
            raise ValueError("fill must lie in 0 to 255")
        return cls(**{**values, "mean": mean, "std": std})

    @property
    def channels(self) -> int:
        """3 (RGB) or 1 (grey)."""
        return len(self.mean)

    def has_geometry(self) -> bool:
        """Whether images change their size."""
        return any(getattr(self, key) is not None for key in _SIZES)

    def resized(self, image: Bytes) -> Bytes:
        """The image resized and cropped, before any canvas."""
        height, width = image.shape[:2]
        ratio = None
        if self.shorter_side is not None:
            ratio = self.shorter_side / min(width, height)
        elif self.longer_side is not None:
            ratio = self.longer_side / max(width, height)
        if ratio is not None:
            image = resize(image, max(1, round(height * ratio)), max(1, round(width * ratio)))
        return image if self.crop is None else self._cropped(image, self.crop)

    def normalise(self, images: Tensor) -> Tensor:
        """Bytes (N, H, W, C) as inputs (N, C, H, W)."""
        mean, std = (images.new_tensor(v, dtype=torch.float32) for v in (self.mean, self.std))
        values = (images.float() * self.scale - mean) / std
        return values.permute(0, 3, 1, 2).contiguous()

    def placed(self, image: Bytes) -> Tensor:
        """A resized image as one input (C, H, W), on its canvas."""
        values = self.normalise(torch.from_numpy(np.array(image))[None])[0]
        if self.canvas is None:
            return values
        height, width = image.shape[:2]
        if max(height, width) > self.canvas:
            raise FinetuneError(
                f"an image of {width}x{height} does not fit the canvas of {self.canvas}; set "
                "longer_side in the preprocess description"
            )
        fill = torch.tensor([(self.fill * self.scale - m) / s for m, s in self._channels()])
        canvas = fill[:, None, None].repeat(1, self.canvas, self.canvas)
        canvas[:, :height, :width] = values
        return canvas

    def _channels(self) -> list[tuple[float, float]]:
        return list(zip(self.mean, self.std, strict=True))

    def _cropped(self, image: Bytes, side: int) -> Bytes:
        height, width = image.shape[:2]
        if side > min(height, width):
            raise FinetuneError(
                f"an image of {width}x{height} is smaller than the crop of {side}; set "
                "shorter_side in the preprocess description"
            )
        top, left = (height - side) // 2, (width - side) // 2
        return image[top : top + side, left : left + side]


def resize(image: Bytes, height: int, width: int) -> Bytes:
    """Pillow's antialiased bilinear filter, which the compiler reproduces."""
    if image.shape[:2] == (height, width):
        return image
    grey = image.shape[2] == 1
    picture = Image.fromarray(image[:, :, 0] if grey else image)
    array = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    return array[:, :, None] if grey else array


def decode(path: Path, channels: int) -> Bytes:
    """The picture in a file as RGB, or as its luma for a grey network."""
    try:
        with Image.open(path) as picture:
            rgb = picture.convert("RGB")
            array = np.asarray(rgb if channels == 3 else rgb.convert("L"))
    except OSError as error:
        raise FinetuneError(f"cannot read the image `{path}`: {error}") from error
    return array if channels == 3 else array[:, :, None]
