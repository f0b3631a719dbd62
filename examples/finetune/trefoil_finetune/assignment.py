"""Assignment files: which patches each ReLU's channels get.

The JSON form is the one that ``trefoil compile --assignment`` reads::

    { "/relu1/Relu": [[2, 2], [0, 1], [1, 1]],
      "/relu2/Relu": [4, 4],
      "/clip1/Clip": { "lower": [2, 2], "upper": [0, 1] } }

A patch ``[h, w]`` for all channels, or a list of one patch per channel; ``[0, 1]`` passes a channel
unchanged, ``[1, 1]`` is the ordinary ReLU. A clip (ReLU6) has two signs, of ``x`` and of
``x - high``: it takes the same patches for both, or ``lower`` and ``upper`` (one left out keeps a
sign per pixel).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from .errors import FinetuneError

Patch = tuple[int, int]
"""Height and width of a patch."""

IDENTITY: Patch = (0, 1)
"""The channel passes unchanged, at no cost."""

PIXEL: Patch = (1, 1)
"""A sign per pixel: the ordinary ReLU."""


class AssignmentError(FinetuneError):
    """An assignment is malformed or does not fit the network; lists every fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        """Keeps the list as ``faults`` and joins it to one message."""
        self.faults = list(faults)
        lines = "\n".join(f"  {fault}" for fault in self.faults)
        super().__init__(f"the assignment has {len(self.faults)} fault(s):\n{lines}")


@dataclass(frozen=True)
class Choice:
    """The patches of one sign: one for all channels, or one per channel."""

    patches: tuple[Patch, ...]
    every_channel: bool = False

    @classmethod
    def of(cls, value: object) -> Choice:
        """Reads ``[h, w]`` or ``[[h, w], …]``; raises ``ValueError`` naming what is neither."""
        pair = _pair(value)
        if pair is not None:
            return cls((pair,), every_channel=True)
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            raise ValueError(_excerpt(value))
        pairs = []
        for item in value:
            pair = _pair(item)
            if pair is None:
                raise ValueError(_excerpt(item))
            pairs.append(pair)
        return cls(tuple(pairs))

    def for_channels(self, channels: int) -> tuple[Patch, ...]:
        """One patch per channel."""
        return self.patches * channels if self.every_channel else self.patches

    def to_json(self) -> Any:
        """The form of the file."""
        pairs = [list(patch) for patch in self.patches]
        return pairs[0] if self.every_channel else pairs


@dataclass(frozen=True)
class LayerChoice:
    """The patches of one ReLU, or of the two signs of a clip; ``None`` keeps a sign per pixel."""

    lower: Choice | None
    upper: Choice | None
    by_sign: bool = False

    @classmethod
    def of(cls, value: object) -> LayerChoice:
        """Reads one entry of the file; raises ``ValueError`` naming what is malformed."""
        if not isinstance(value, Mapping):
            choice = Choice.of(value)
            return cls(choice, choice)
        for key in value:
            if key not in ("lower", "upper"):
                raise ValueError(f'the key "{key}"')
        lower, upper = (
            Choice.of(value[key]) if key in value else None for key in ("lower", "upper")
        )
        return cls(lower, upper, by_sign=True)

    def to_json(self) -> Any:
        """The form of the file."""
        if not self.by_sign and self.lower is not None:
            return self.lower.to_json()
        signs = {"lower": self.lower, "upper": self.upper}
        return {key: choice.to_json() for key, choice in signs.items() if choice is not None}


class Assignment(Mapping[str, LayerChoice]):
    """Patches by ReLU name, in the order of the names."""

    def __init__(self, layers: Mapping[str, LayerChoice]) -> None:
        """Takes entries that are already read; see ``parse``, ``load`` and ``of``."""
        self._layers = dict(sorted(layers.items()))

    @classmethod
    def parse(cls, text: str) -> Assignment:
        """Reads the JSON form; a fault in any entry is named with all others."""
        faults: list[str] = []

        def entries(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            names = [name for name, _ in pairs]
            twice = sorted({name for name in names if names.count(name) > 1})
            faults.extend(f'"{n}": the name comes twice; keep one of the entries' for n in twice)
            return dict(pairs)

        try:
            value = json.loads(text, object_pairs_hook=entries)
        except ValueError as error:
            raise AssignmentError([f"the file is not JSON: {error}"]) from error
        if not isinstance(value, dict):
            raise AssignmentError(["the file is not a JSON object of ReLU names and patches"])
        return cls._read(value, faults)

    @classmethod
    def load(cls, path: str | Path) -> Assignment:
        """Reads an assignment file."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise FinetuneError(f"cannot read the assignment `{path}`: {error.strerror}") from error
        try:
            return cls.parse(text)
        except AssignmentError as error:
            raise AssignmentError([f"`{path}`: {fault}" for fault in error.faults]) from error

    @classmethod
    def of(cls, value: Assignment | Mapping[str, Any] | str | Path) -> Assignment:
        """An assignment, a mapping in the form of the file, or the path of a file."""
        if isinstance(value, Assignment):
            return value
        return cls._read(value, []) if isinstance(value, Mapping) else cls.load(value)

    @classmethod
    def _read(cls, entries: Mapping[str, Any], faults: list[str]) -> Assignment:
        layers = {}
        for name, value in entries.items():
            try:
                layers[name] = LayerChoice.of(value)
            except ValueError as error:
                faults.append(
                    f'"{name}": {error} is neither a patch [h, w], nor a list of one patch per '
                    'channel, nor such under "lower" and "upper"'
                )
        if faults:
            raise AssignmentError(faults)
        return cls(layers)

    def to_json(self) -> str:
        """One line of JSON, byte for byte as the compiler writes it."""
        entries = {name: layer.to_json() for name, layer in self.items()}
        return json.dumps(entries, separators=(",", ":"), ensure_ascii=False)

    def __getitem__(self, name: str) -> LayerChoice:
        """The patches of one ReLU."""
        return self._layers[name]

    def __iter__(self) -> Iterator[str]:
        """The names, sorted."""
        return iter(self._layers)

    def __len__(self) -> int:
        """How many ReLUs are named."""
        return len(self._layers)


def drelus(patches: Sequence[Patch], height: int, width: int) -> int:
    """How many signs a map of these channels costs."""
    return sum(
        0 if patch == IDENTITY else ceil(height / patch[0]) * ceil(width / patch[1])
        for patch in patches
    )


def patch_faults(
    patches: Sequence[Patch], channels: int, size: tuple[int, int] | None = None
) -> list[str]:
    """Why these patches do not fit a map; the wording is the compiler's."""
    if len(patches) != channels:
        return [f"{len(patches)} patches are given, and the ReLU has {channels} channels"]
    for channel, (h, w) in enumerate(patches):
        if (h, w) != IDENTITY and (h < 1 or w < 1):
            return [
                f"channel {channel}: [{h}, {w}] is no patch; sizes start at 1, and only [0, 1] "
                "means that the channel passes unchanged"
            ]
        if size is not None and (h > size[0] or w > size[1]):
            return [
                f"channel {channel}: the patch [{h}, {w}] is larger than the map of "
                f"{size[0]}x{size[1]}; the largest that fits is [{size[0]}, {size[1]}]"
            ]
    return []


def _pair(value: object) -> Patch | None:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    h, w = value
    whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in (h, w))
    return (h, w) if whole else None


def _excerpt(value: object) -> str:
    text = json.dumps(value, default=str)
    return f"`{text[:40]}…`" if len(text) > 40 else f"`{text}`"
