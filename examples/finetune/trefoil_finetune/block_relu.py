"""Block-ReLU as a torch module.

ReLU(x) = x * [x > 0]. Secure inference pays for the sign, so a Block-ReLU lets all pixels of a
patch share one: the sign of the patch's mean. Patches are cut from the top left, those at the
border are smaller. The sign has no gradient, so that dy/dx is the mask itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .assignment import IDENTITY, PIXEL, Patch, patch_faults
from .errors import FinetuneError

Patches = Sequence[Patch] | Sequence[Sequence[int]] | Patch
"""One ``[h, w]`` per channel, or one for every channel."""


# Up to this side the products are cheaper than the launches that they save.
_DENSE_SIDE = 64


class BlockSigns(nn.Module):
    """The mask of a Block-ReLU: per pixel, whether the sum over its patch is positive.

    Channels are grouped by patch; what remains per forward is one pooling per distinct patch. On
    a GPU, where every launch costs more than small maps do, two matrix products serve all.
    """

    def __init__(self, patches: Patches) -> None:
        """Groups the channels; ``patches`` as for ``BlockReLU``."""
        super().__init__()
        self.patches, self.every_channel = _normal(patches)
        self.classes = sorted(set(self.patches))
        members = [
            [c for c, patch in enumerate(self.patches) if patch == group] for group in self.classes
        ]
        order = [channel for group in members for channel in group]
        inverse = torch.empty(len(order), dtype=torch.int64)
        inverse[torch.tensor(order)] = torch.arange(len(order))
        # Derived from the patches, hence in no state_dict: a checkpoint of the plain network loads.
        for index, group in enumerate(members):
            self.register_buffer(f"channels_{index}", torch.tensor(group), persistent=False)
        self.register_buffer("inverse", inverse, persistent=False)
        sides = torch.tensor([(max(h, 1), w) for h, w in self.patches])
        self.register_buffer("sides", sides, persistent=False)
        passes = torch.tensor([patch == IDENTITY for patch in self.patches])
        self.register_buffer("passes", passes, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The mask of ``x`` (batch, channels, height, width), as booleans.

        Features of a fully connected layer (batch, channels) are maps of one pixel.
        """
        x = x.detach()
        if x.dim() == 2:
            return self.forward(x[:, :, None, None])[:, :, 0, 0]
        self._check(x)
        if len(self.classes) == 1:
            return _signs(x, self.classes[0])
        if x.is_cuda and max(x.shape[2:]) <= _DENSE_SIDE:
            return self.by_products(x)
        return self.by_classes(x)

    def by_classes(self, x: Tensor) -> Tensor:
        """One pooling per distinct patch."""
        masks = [
            _signs(x.index_select(1, cast(Tensor, getattr(self, f"channels_{index}"))), patch)
            for index, patch in enumerate(self.classes)
        ]
        return torch.cat(masks, dim=1).index_select(1, cast(Tensor, self.inverse))

    def by_products(self, x: Tensor) -> Tensor:
        """Sums over patches as products with matrices that say which pixels share one."""
        sides, passes = cast(Tensor, self.sides), cast(Tensor, self.passes)
        with torch.autocast(x.device.type, enabled=False):
            rows, columns = (
                _sharing(side, size) for side, size in zip(sides.T, x.shape[2:], strict=True)
            )
            sums = torch.einsum("bchw,cwv->bchv", x.float(), columns)
            sums = torch.einsum("bchv,chk->bckv", sums, rows)
        return (sums > 0) | passes[:, None, None]

    def is_identity(self) -> bool:
        """Whether every channel passes."""
        return self.classes == [IDENTITY]

    def for_channels(self, channels: int) -> tuple[Patch, ...]:
        """One patch per channel."""
        return self.patches * channels if self.every_channel else self.patches

    def extra_repr(self) -> str:
        """How many channels each patch has."""
        if self.every_channel:
            return "{}x{}".format(*self.patches[0])
        return ", ".join(f"{h}x{w}: {self.patches.count((h, w))}" for h, w in self.classes)

    def _check(self, x: Tensor) -> None:
        if x.dim() != 4:
            raise FinetuneError(
                "a Block-ReLU takes (batch, channels, height, width) or (batch, channels), "
                f"not {tuple(x.shape)}"
            )
        if not self.every_channel and x.shape[1] != len(self.patches):
            raise FinetuneError(
                f"{len(self.patches)} patches are given, and the ReLU has {x.shape[1]} channels"
            )


class BlockReLU(nn.Module):
    """ReLU whose signs are shared by the pixels of a patch.

    >>> relu = BlockReLU([[2, 2], [0, 1], [1, 1]])   # a patch, the identity, an ordinary ReLU
    >>> y = relu(torch.randn(8, 3, 32, 32))
    """

    def __init__(self, patches: Patches) -> None:
        """``patches``: one ``[h, w]`` per channel, or one for every channel."""
        super().__init__()
        self.signs = BlockSigns(patches)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` where the mean of its patch is positive, else 0."""
        if self.signs.is_identity():
            return x
        mask: Tensor = self.signs(x)
        return x * mask.to(x.dtype)


class BlockClip(nn.Module):
    """ReLU6 and its like with shared signs: ``y = b0 * x - b1 * (x - high)``.

    ``b0`` are the signs of ``x`` over the patches ``lower``, ``b1`` those of ``x - high`` over
    ``upper``; an identity means b0 = 1 and b1 = 0 respectively. With 1x1 patches it is
    ``clamp(x, 0, high)``.
    """

    def __init__(self, lower: Patches, upper: Patches, high: float) -> None:
        """``lower`` and ``upper``: one ``[h, w]`` per channel, or one for every channel."""
        super().__init__()
        self.lower = BlockSigns(lower)
        self.upper = UpperSigns(upper)
        self.high = float(high)

    def forward(self, x: Tensor) -> Tensor:
        """Clipped ``x``."""
        y = x if self.lower.is_identity() else x * self.lower(x).to(x.dtype)
        if self.upper.is_identity():
            return y
        above = x - self.high
        mask: Tensor = self.upper(above)
        return y - above * mask.to(x.dtype)

    def extra_repr(self) -> str:
        """The upper limit."""
        return f"high={self.high}"


class UpperSigns(BlockSigns):
    """The upper mask of a clip, where an identity channel is never above the limit."""

    def forward(self, x: Tensor) -> Tensor:
        """The mask of ``x - high``."""
        mask = super().forward(x)
        if IDENTITY in self.classes:
            group = cast(Tensor, getattr(self, f"channels_{self.classes.index(IDENTITY)}"))
            mask = mask.index_fill(1, group, False)
        return mask


def _sharing(sides: Tensor, size: int) -> Tensor:
    """Per channel the matrix of pairs of rows (or columns) that lie in one patch."""
    patch = torch.arange(size, device=sides.device) // sides[:, None]
    return (patch[:, :, None] == patch[:, None, :]).float()


def _signs(x: Tensor, patch: Patch) -> Tensor:
    """The mask of channels that all have this patch."""
    if patch == IDENTITY:
        return torch.ones_like(x, dtype=torch.bool)
    if patch == PIXEL:
        return x > 0
    height, width = x.shape[2], x.shape[3]
    h, w = patch
    h, w = min(h, height), min(w, width)
    if (h, w) == (height, width):
        return (x.sum(dim=(2, 3), keepdim=True) > 0).expand_as(x)
    # The mean over what a border patch covers has the sign of the sum.
    mask = functional.avg_pool2d(x, (h, w), (h, w), ceil_mode=True) > 0
    if h > 1:
        mask = mask.index_select(2, torch.arange(height, device=x.device) // h)
    if w > 1:
        mask = mask.index_select(3, torch.arange(width, device=x.device) // w)
    return mask


def _normal(patches: Patches) -> tuple[tuple[Patch, ...], bool]:
    """The patches as tuples, and whether the one there is stands for every channel."""
    every = len(patches) == 2 and all(isinstance(n, int) for n in patches)
    pairs = cast(Sequence[Sequence[int]], [patches] if every else patches)
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise FinetuneError("patches are [h, w]: one for every channel, or a list of one for each")
    normal = tuple((int(h), int(w)) for h, w in pairs)
    for fault in patch_faults(normal, len(normal)):
        raise FinetuneError(fault)
    return normal, every
