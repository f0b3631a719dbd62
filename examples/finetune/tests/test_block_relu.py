"""Forward and gradient against loops over channels and patches."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from trefoil_finetune import BlockClip, BlockReLU, FinetuneError
from trefoil_finetune.assignment import Patch
from trefoil_finetune.block_relu import BlockSigns

SIZES = [(1, 1), (5, 7), (8, 8), (13, 4)]


def naive_mask(x: Tensor, patches: list[Patch], identity: float = 1.0) -> Tensor:
    mask = torch.zeros_like(x)
    _, channels, height, width = x.shape
    for c in range(channels):
        h, w = patches[c]
        if h == 0:
            mask[:, c] = identity
            continue
        for top in range(0, height, h):
            for left in range(0, width, w):
                patch = x[:, c, top : top + h, left : left + w]
                sign = (patch.mean((1, 2)) > 0).to(x.dtype)
                mask[:, c, top : top + h, left : left + w] = sign[:, None, None]
    return mask.detach()


def random_patches(channels: int, height: int, width: int, rng: torch.Generator) -> list[Patch]:
    special: list[Patch] = [(0, 1), (1, 1), (height, width), (1, width)]
    patches = []
    for _ in range(channels):
        draw = torch.randint(0, 1000, (3,), generator=rng).tolist()
        random: Patch = (1 + draw[1] % height, 1 + draw[2] % width)
        patches.append(special[draw[0] % 8] if draw[0] % 8 < 4 else random)
    return patches


def value_and_gradient(y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return y.detach(), torch.autograd.grad((y * weights).sum(), x)[0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_relu_agrees_with_the_loop(size: tuple[int, int], seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    patches = random_patches(12, *size, rng)
    x = torch.randn(3, 12, *size, generator=rng, dtype=torch.float64, requires_grad=True)
    found = value_and_gradient(BlockReLU(patches)(x), x)
    expected = value_and_gradient(x * naive_mask(x, patches), x)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_clip_agrees_with_the_loop(size: tuple[int, int], seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    lower, upper = random_patches(12, *size, rng), random_patches(12, *size, rng)
    x = 3 * torch.randn(3, 12, *size, generator=rng, dtype=torch.float64)
    x.requires_grad_()
    found = value_and_gradient(BlockClip(lower, upper, 1.5)(x), x)
    above = naive_mask(x - 1.5, upper, identity=0.0)
    expected = value_and_gradient(x * naive_mask(x, lower) - (x - 1.5) * above, x)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("size", SIZES)
def test_both_ways_to_the_signs_agree(size: tuple[int, int]) -> None:
    rng = torch.Generator().manual_seed(1)
    signs = BlockSigns(random_patches(24, *size, rng))
    x = torch.randn(2, 24, *size, generator=rng)
    assert torch.equal(signs.by_products(x), signs.by_classes(x))


def test_pixels_are_the_ordinary_functions() -> None:
    x = 4 * torch.randn(2, 3, 5, 5)
    assert torch.equal(BlockReLU((1, 1))(x), x.relu())
    assert torch.equal(BlockReLU([[0, 1]] * 3)(x), x)
    torch.testing.assert_close(BlockClip((1, 1), (1, 1), 6.0)(x), x.clamp(0, 6))


def test_features_of_a_fully_connected_layer_are_maps_of_one_pixel() -> None:
    relu = BlockReLU([[0, 1], [1, 1], [1, 1]])
    x = torch.randn(4, 3)
    assert torch.equal(relu(x), torch.cat([x[:, :1], x[:, 1:].relu()], dim=1))
    clip = BlockClip((1, 1), (1, 1), 0.5)
    torch.testing.assert_close(clip(x), x.clamp(0, 0.5))


def test_one_patch_serves_any_number_of_channels() -> None:
    relu = BlockReLU((2, 2))
    for channels in (1, 5):
        x = torch.randn(2, channels, 4, 6)
        assert torch.equal(relu(x), BlockReLU([[2, 2]] * channels)(x))


def test_checkpoints_do_not_hold_the_patches() -> None:
    relu = BlockReLU([[2, 2], [0, 1], [1, 1]])
    assert relu.state_dict() == {}
    x = torch.randn(2, 3, 5, 5)
    assert torch.equal(copy.deepcopy(relu)(x), relu(x))
    assert "2x2: 1" in repr(relu)


def test_it_compiles_to_one_graph() -> None:
    relu = BlockReLU([[2, 2], [0, 1], [1, 1], [5, 5]])
    x = torch.randn(2, 4, 5, 5)
    compiled = torch.compile(relu, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), relu(x))


def test_lower_precision_keeps_its_type() -> None:
    x = torch.randn(2, 2, 4, 4, dtype=torch.bfloat16)
    assert BlockReLU([[2, 2], [1, 1]])(x).dtype == torch.bfloat16
    assert BlockClip([[2, 2], [1, 1]], (1, 1), 1.0)(x).dtype == torch.bfloat16


@pytest.mark.parametrize("patches", [[], [[2]], [[0, 2]], [[1, 0], [1, 1]]])
def test_nonsense_is_refused(patches: list[list[int]]) -> None:
    with pytest.raises(FinetuneError):
        BlockReLU(patches)


def test_the_wrong_number_of_channels_is_named() -> None:
    with pytest.raises(FinetuneError, match="2 patches are given, and the ReLU has 3 channels"):
        BlockReLU([[1, 2], [2, 1]])(torch.zeros(1, 3, 4, 4))
