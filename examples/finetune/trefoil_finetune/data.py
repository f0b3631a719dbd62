"""Images and labels in the forms that ``trefoil`` takes.

==============================================  ================================================
``.npy``, float, ``[N, C, H, W]``               taken as they are
``.npy``, uint8, ``[N, H, W, C]``               through the preprocess description
folder of JPEG and PNG, in the order of names   decoded, then through the preprocess description
==============================================  ================================================

Labels are a one-dimensional ``.npy`` of integers, or text of lines ``file class`` that selects and
orders the files of a folder; -1 marks an image without a label.

Batches for training are augmented: whole arrays on the device they live on (shifted by up to an
eighth and flipped), pictures one by one (a mild random crop, flipped).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from .errors import FinetuneError
from .preprocess import Bytes, Preprocess, decode, resize

Augment = Literal["crop-flip", "crop", "none"]
"""What happens to training images: shifts or crops, with or without flips."""


class Images(Protocol):
    """Images that come in batches."""

    labels: Tensor | None
    """One class per image, -1 for none; or no labels at all."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def batch(self, indices: Tensor, rng: torch.Generator | None, augment: Augment) -> Tensor:
        """These images as inputs (N, C, H, W); augmented if there is a generator."""
        ...

    def to(self, device: torch.device) -> Images:
        """The same on another device, where that is possible."""
        ...


class Pixels:
    """An array in memory: bytes (N, H, W, C) with their description, or floats (N, H, W, C)."""

    def __init__(
        self, pixels: Tensor, preprocess: Preprocess | None, labels: Tensor | None
    ) -> None:
        """Without a description the values are inputs already."""
        self.pixels, self.preprocess, self.labels = pixels, preprocess, labels

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.pixels)

    def to(self, device: torch.device) -> Pixels:
        """The same array on another device."""
        return Pixels(self.pixels.to(device), self.preprocess, self.labels)

    def batch(self, indices: Tensor, rng: torch.Generator | None, augment: Augment) -> Tensor:
        """Gathers, shifts and normalises whole batches at a time."""
        pixels = self.pixels[indices.to(self.pixels.device)]
        if rng is not None and augment != "none":
            pixels = _shift(pixels, rng, augment == "crop-flip")
        if self.preprocess is None:
            return pixels.permute(0, 3, 1, 2).contiguous()
        return self.preprocess.normalise(pixels)


class Pictures:
    """Images that are decoded or resized one by one when they are asked for."""

    def __init__(
        self,
        source: Callable[[int], Bytes],
        count: int,
        preprocess: Preprocess,
        labels: Tensor | None,
    ) -> None:
        """``source`` gives image number n as it is stored."""
        self.source, self.count = source, count
        self.preprocess, self.labels = preprocess, labels
        self.pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))

    def __len__(self) -> int:
        """How many images there are."""
        return self.count

    def to(self, device: torch.device) -> Pictures:
        """Pictures stay where they are."""
        return self

    def batch(self, indices: Tensor, rng: torch.Generator | None, augment: Augment) -> Tensor:
        """Decodes in threads; the random numbers are drawn before, so that they repeat."""
        draws = None
        if rng is not None and augment != "none":
            draws = torch.rand(len(indices), 5, generator=rng)
            if augment == "crop":
                draws[:, 4] = 1.0
        jobs = [
            (int(index), None if draws is None else draws[row].tolist())
            for row, index in enumerate(indices)
        ]
        images = list(self.pool.map(self._load, jobs))
        shapes = {tuple(image.shape) for image in images}
        if len(shapes) > 1:
            raise FinetuneError(
                f"the images become inputs of different shapes {sorted(shapes)}; set shorter_side "
                "and crop in the preprocess description"
            )
        return torch.stack(images)

    def _load(self, job: tuple[int, list[float] | None]) -> Tensor:
        index, draws = job
        image = self.preprocess.resized(self.source(index))
        return self.preprocess.placed(image if draws is None else _mild_crop(image, draws))


class Part:
    """Some of the images of another set."""

    def __init__(self, images: Images, indices: Tensor) -> None:
        """``indices`` into ``images``."""
        self.images, self.indices = images, indices
        self.labels = None if images.labels is None else images.labels[indices]

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.indices)

    def to(self, device: torch.device) -> Part:
        """The same part of the set on another device."""
        return Part(self.images.to(device), self.indices)

    def batch(self, indices: Tensor, rng: torch.Generator | None, augment: Augment) -> Tensor:
        """Delegates to the whole set."""
        return self.images.batch(self.indices[indices], rng, augment)


def open_images(
    data: str | Path, preprocess: Preprocess | None = None, labels: str | Path | None = None
) -> Images:
    """Opens an array or a folder, with labels if there are any."""
    path = Path(data)
    if path.is_dir():
        return _open_folder(path, _required(preprocess, path), labels)
    array = _load_array(path)
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or 0 in array.shape:
        raise FinetuneError(f"`{path}` has shape {list(array.shape)}; images have four axes")
    classes = None if labels is None else _one_each(labels, len(array))
    if array.dtype.kind == "f":
        floats = torch.from_numpy(np.array(array, dtype=np.float32))
        if not torch.isfinite(floats).all():
            raise FinetuneError(f"`{path}` holds values that are not finite; mend the array")
        return Pixels(floats.permute(0, 2, 3, 1).contiguous(), None, classes)
    if array.dtype != np.uint8:
        raise FinetuneError(f"`{path}` is {array.dtype}; give uint8 [N, H, W, C] or float32 NCHW")
    preprocess = _required(preprocess, path)
    if array.shape[3] != preprocess.channels:
        raise FinetuneError(
            f"`{path}` has shape {list(array.shape)}, and the preprocess description makes "
            f"{preprocess.channels} channels; bytes are channels-last, [N, H, W, C]"
        )
    if preprocess.has_geometry():
        return Pictures(lambda index: np.array(array[index]), len(array), preprocess, classes)
    return Pixels(torch.from_numpy(np.array(array)), preprocess, classes)


def batches(
    images: Images, size: int, device: torch.device, limit: int | None = None
) -> Iterator[Tensor]:
    """The images in order, in batches, as they are."""
    count = len(images) if limit is None else min(limit, len(images))
    for start in range(0, count, size):
        indices = torch.arange(start, min(start + size, count))
        yield images.batch(indices, None, "none").to(device)


def split(images: Images, held_out: int, seed: int) -> tuple[Part, Part]:
    """A part for training and one held out, at random."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return Part(images, order[held_out:].sort().values), Part(
        images, order[:held_out].sort().values
    )


def read_labels(path: str | Path) -> Tensor | list[tuple[str, int]]:
    """Classes in the order of the images, or files with their classes."""
    path = Path(path)
    if path.suffix == ".npy":
        array = _load_array(path)
        classes = np.array(array, dtype=np.int64) if array.dtype.kind in "iu" else None
        if classes is None or classes.ndim != 1 or not len(classes) or classes.min() < -1:
            raise FinetuneError(f"`{path}` must be a list of classes, integers from 0 (-1: none)")
        return torch.from_numpy(classes)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FinetuneError(f"cannot read the labels `{path}`: {error}") from error
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        columns = line.split()
        if not columns or columns[0].startswith("#"):
            continue
        file = PurePosixPath(columns[0])
        if len(columns) < 2 or not columns[1].lstrip("-").isdigit() or int(columns[1]) < -1:
            raise FinetuneError(f"`{path}`, line {number}: a line is `file class`, class from 0")
        if file.is_absolute() or ".." in file.parts:
            raise FinetuneError(f"`{path}`, line {number}: `{file}` lies outside the folder")
        lines.append((columns[0], int(columns[1])))
    if not lines:
        raise FinetuneError(f"`{path}` holds no label; write lines of `file class`")
    return lines


def _open_folder(folder: Path, preprocess: Preprocess, labels: str | Path | None) -> Pictures:
    read = None if labels is None else read_labels(labels)
    classes: Tensor | None
    if isinstance(read, list):
        files, classes = [file for file, _ in read], torch.tensor([c for _, c in read])
        missing = [file for file in files if not (folder / file).is_file()]
        if missing:
            raise FinetuneError(f"`{labels}` names `{missing[0]}`, which is not in `{folder}`")
    else:
        files = sorted(
            entry.name
            for entry in folder.iterdir()
            if entry.suffix.lower() in (".jpg", ".jpeg", ".png")
            and not entry.name.startswith(".")
            and entry.is_file()
        )
        if not files:
            raise FinetuneError(f"the folder `{folder}` holds no image (.jpg, .jpeg, .png)")
        classes = None if labels is None else _one_each(labels, len(files))
    paths = [folder / file for file in files]
    return Pictures(
        lambda index: decode(paths[index], preprocess.channels), len(paths), preprocess, classes
    )


def _one_each(path: str | Path, images: int) -> Tensor:
    labels = read_labels(path)
    if isinstance(labels, list):
        raise FinetuneError(
            f"`{path}` names files, and the data is an array; give a .npy of classes"
        )
    if len(labels) != images:
        raise FinetuneError(f"`{path}` holds {len(labels)} classes for {images} images")
    return labels


def _load_array(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FinetuneError(
            f"`{path}` is neither a .npy file nor a folder of images: {error}"
        ) from error
    if not isinstance(array, np.ndarray):
        raise FinetuneError(f"`{path}` holds several arrays; save the one with numpy.save")
    return array


def _required(preprocess: Preprocess | None, path: Path) -> Preprocess:
    if preprocess is None:
        raise FinetuneError(
            f"`{path}` holds 8-bit images, which become network inputs only through a preprocess "
            "description; give one with --preprocess P.toml (keys: scale, mean, std and, where the "
            "size must change, shorter_side or longer_side, crop, canvas with fill)"
        )
    return preprocess


def _shift(pixels: Tensor, rng: torch.Generator, flip: bool) -> Tensor:
    """Each image moved by up to an eighth over a black border and, half of them, mirrored."""
    count, height, width, _ = pixels.shape
    reach = max(1, min(height, width) // 8)
    padded = torch.nn.functional.pad(pixels, (0, 0, reach, reach, reach, reach))
    offsets = torch.randint(0, 2 * reach + 1, (2, count, 1), generator=rng)
    mirrored = torch.rand(count, 1, generator=rng) < 0.5
    rows = offsets[0] + torch.arange(height)
    columns = torch.arange(width).expand(count, width)
    if flip:
        columns = torch.where(mirrored, width - 1 - columns, columns)
    columns = offsets[1] + columns
    device = pixels.device
    which = torch.arange(count, device=device)[:, None, None]
    return padded[which, rows.to(device)[:, :, None], columns.to(device)[:, None, :]]


def _mild_crop(image: Bytes, draws: list[float]) -> Bytes:
    """A random part of at least 60% of the image at its size again, mirrored half of the time."""
    height, width = image.shape[:2]
    area, aspect, top, left, mirror = draws
    side = (0.6 + 0.4 * area) ** 0.5
    stretch = (8 / 7) ** (2 * aspect - 1)
    h = max(1, min(height, round(height * side * stretch)))
    w = max(1, min(width, round(width * side / stretch)))
    y, x = round(top * (height - h)), round(left * (width - w))
    part = resize(np.ascontiguousarray(image[y : y + h, x : x + w]), height, width)
    return np.ascontiguousarray(part[:, ::-1] if mirror < 0.5 else part)
