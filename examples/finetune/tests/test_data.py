"""Readers: the three forms of data, labels, and the preprocess description."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trefoil_finetune import FinetuneError
from trefoil_finetune.data import Pictures, Pixels, open_images, split
from trefoil_finetune.preprocess import Preprocess

CENTRE = {"scale": 0.5, "mean": [1.0, 2.0, 3.0], "std": [2.0, 4.0, 8.0]}


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_bytes_go_through_the_description(tmp_path: Path) -> None:
    pixels = np.stack([picture(5, 4, seed) for seed in range(3)])
    np.save(tmp_path / "x.npy", pixels)
    images = open_images(tmp_path / "x.npy", Preprocess.of(CENTRE))
    found = images.batch(torch.tensor([2, 0]), None, "none")
    expected = (pixels[[2, 0]] * 0.5 - [1, 2, 3]) / [2, 4, 8]
    np.testing.assert_allclose(found.numpy(), expected.transpose(0, 3, 1, 2), rtol=1e-6)


def test_floats_are_taken_as_they_are(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    np.save(tmp_path / "x.npy", values)
    images = open_images(tmp_path / "x.npy")
    found = images.batch(torch.arange(2), None, "none").numpy()
    np.testing.assert_array_equal(found, values.astype(np.float32))


def test_folders_are_read_in_order_resized_and_cropped(tmp_path: Path) -> None:
    stored = {}
    for seed, name in enumerate(["b.png", "a.PNG", ".hidden.png"]):
        stored[name] = picture(20, 30, seed)
        Image.fromarray(stored[name]).save(tmp_path / name, format="png")
    (tmp_path / "notes.txt").write_text("no image")
    preprocess = Preprocess.of({**CENTRE, "shorter_side": 10, "crop": 8})
    images = open_images(tmp_path, preprocess)
    assert len(images) == 2
    first = Image.fromarray(stored["a.PNG"]).resize((15, 10), Image.Resampling.BILINEAR)
    expected = np.asarray(first)[1:9, 3:11] * 0.5
    found = images.batch(torch.tensor([0]), None, "none")[0]
    np.testing.assert_allclose(
        found.numpy(), ((expected - [1, 2, 3]) / [2, 4, 8]).transpose(2, 0, 1), rtol=1e-5
    )


def test_label_text_selects_and_orders_files(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(picture(4, 4)).save(tmp_path / name)
    (tmp_path / "labels.txt").write_text("\ufeff# file class\nb.png 7 bird\n\na.png -1\nb.png 7\n")
    images = open_images(tmp_path, Preprocess.of(CENTRE), tmp_path / "labels.txt")
    assert images.labels is not None
    assert images.labels.tolist() == [7, -1, 7]


def test_a_canvas_is_grey_outside_the_image() -> None:
    preprocess = Preprocess.of({**CENTRE, "longer_side": 6, "canvas": 8, "fill": 127.5})
    image = preprocess.resized(picture(12, 8))
    assert image.shape == (6, 4, 3)
    placed = preprocess.placed(image)
    assert placed.shape == (3, 8, 8)
    assert placed[:, 7, 7].tolist() == pytest.approx(
        [(63.75 - m) / s for m, s in ((1, 2), (2, 4), (3, 8))]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 3}, "unknown keys"),
        ({"shorter_side": 4, "longer_side": 4}, "exclude each other"),
        ({"canvas": 4}, "go together"),
        ({"std": [1.0, 1.0, 0.0]}, "not 0"),
        ({"mean": [1.0]}, "3 numbers"),
        ({"crop": 0}, "1 to 4096"),
    ],
)
def test_wrong_descriptions_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocess.of({**CENTRE, **change})


def test_wrong_data_are_refused_with_a_remedy(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", picture(4, 4)[None])
    with pytest.raises(FinetuneError, match="--preprocess"):
        open_images(tmp_path / "x.npy")
    np.save(tmp_path / "y.npy", np.arange(3))
    with pytest.raises(FinetuneError, match="3 classes for 1 images"):
        open_images(tmp_path / "x.npy", Preprocess.of(CENTRE), tmp_path / "y.npy")
    np.save(tmp_path / "nan.npy", np.full((1, 3, 2, 2), np.nan))
    with pytest.raises(FinetuneError, match="not finite"):
        open_images(tmp_path / "nan.npy")
    np.savez(tmp_path / "z.npz", x=picture(4, 4))
    with pytest.raises(FinetuneError, match="several arrays"):
        open_images(tmp_path / "z.npz")
    with pytest.raises(FinetuneError, match=r"neither a \.npy"):
        open_images(tmp_path / "none.npy")
    (tmp_path / "bad.txt").write_text("../up.png 3\n")
    with pytest.raises(FinetuneError, match="outside the folder"):
        open_images(tmp_path, Preprocess.of(CENTRE), tmp_path / "bad.txt")


def test_augmentation_moves_and_mirrors_and_repeats() -> None:
    pixels = torch.arange(2 * 16 * 16 * 1, dtype=torch.float32).view(2, 16, 16, 1) + 1
    images = Pixels(pixels, None, None)
    rng = torch.Generator().manual_seed(0)
    many = torch.zeros(64, dtype=torch.int64)
    found = images.batch(many, rng, "crop-flip")
    assert found.shape == (64, 1, 16, 16)
    assert len({tuple(image.flatten().tolist()) for image in found}) > 20
    # Every image is a window of the original on black: its values stem from there.
    assert set(found.flatten().tolist()) <= {0.0, *pixels[0].flatten().tolist()}
    again = images.batch(many, torch.Generator().manual_seed(0), "crop-flip")
    assert torch.equal(found, again)
    unflipped = images.batch(many, torch.Generator().manual_seed(0), "crop")
    inner = unflipped[:, 0, 4:12, 4:12]
    assert bool((inner[:, :, 1:] > inner[:, :, :-1]).all())


def test_pictures_are_cropped_mildly_and_keep_their_size() -> None:
    preprocess = Preprocess.of({**CENTRE, "crop": 12})
    images = Pictures(lambda index: picture(16, 14, index), 4, preprocess, None)
    draw = [
        images.batch(torch.arange(4), torch.Generator().manual_seed(s), "crop-flip")
        for s in (1, 1, 2)
    ]
    assert draw[0].shape == (4, 3, 12, 12)
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])


def test_a_split_loses_no_image() -> None:
    images = Pixels(torch.zeros(50, 2, 2, 1), None, torch.arange(50))
    train, held_out = split(images, 10, seed=3)
    assert train.labels is not None
    assert held_out.labels is not None
    assert sorted([*train.labels.tolist(), *held_out.labels.tolist()]) == list(range(50))
    assert len(held_out) == 10
