#!/usr/bin/env python3
"""Trains the example model: a small ResNet on scikit-learn's handwritten digits.

    pip install -r requirements.txt
    python train.py              # under a minute on one CPU core; rewrites this folder
    python train.py --out DIR    # writes DIR instead

The script downloads nothing: the images come inside the scikit-learn package. It writes the
model (`digits.onnx`), the held-out images, the calibration images and the preprocessing, then
reads all of them back the way the tools do and checks the ONNX file against PyTorch.
"""

import argparse
import shutil
import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

SEED = 2024
HELD_OUT = 500  # images that training never sees
PNG_IMAGES = 100  # the first of them, also written as PNG
CALIBRATION_IMAGES = 200  # taken from the training split
EPOCHS = 80
BATCH = 64
PEAK_LEARNING_RATE = 0.02
WEIGHT_DECAY = 5e-4
OPSET = 17


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    make_repeatable()

    train_x, test_x, train_y, test_y = load_images()
    mean, std = pixel_statistics(train_x)
    model = train(normalise(train_x, mean, std), train_y)

    export(model, out / "digits.onnx")
    write_preprocess(out / "preprocess.toml", mean, std)
    write_data(out, train_x, test_x, test_y)
    verify(out, model)


def make_repeatable() -> None:
    """Same seeds and one thread, so that the order of float additions does not vary."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


# ---- Images ---------------------------------------------------------------------------------


def load_images():
    """The 1,797 real images as uint8 NHWC RGB, split by class into training and held-out."""
    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # 0..16 to 0..255
    rgb = np.repeat(grey[..., None], 3, axis=-1)
    labels = digits.target.astype(np.int64)
    return train_test_split(
        rgb, labels, test_size=HELD_OUT, stratify=labels, random_state=SEED
    )


def pixel_statistics(x: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of the training pixels; one number each, because the images are grey."""
    unit = x / 255.0
    return round(float(unit.mean()), 3), round(float(unit.std()), 3)


def normalise(x: np.ndarray, mean, std, scale: float = 1 / 255) -> np.ndarray:
    """`(u8 * scale - mean) / std`, from uint8 NHWC to float32 NCHW."""
    unit = (x * scale - np.asarray(mean)) / np.asarray(std)
    return np.ascontiguousarray(unit.transpose(0, 3, 1, 2), dtype=np.float32)


def augment(x: torch.Tensor) -> torch.Tensor:
    """Turns, scales and shifts each image a little; outside the image is background."""
    n = len(x)
    angle = (torch.rand(n) - 0.5) * np.deg2rad(24)
    scale = 1 + (torch.rand(n) - 0.5) * 0.2
    shift = (torch.rand(n, 2) - 0.5) * (2 * 1.5 / 8)  # up to 0.75 pixels
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), x.shape, align_corners=False)
    background = x.amin()
    return F.grid_sample(x - background, grid, align_corners=False) + background


# ---- Model ----------------------------------------------------------------------------------


class Block(nn.Module):
    """Residual block. One that strides or widens has a 1x1 projection on its shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu2(y + self.shortcut(x))


class DigitNet(nn.Module):
    """3 x 8 x 8 image to 10 logits: maps of 8x8x16, 4x4x32 and 2x2x64."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.block1 = Block(16, 16)
        self.block2 = Block(16, 32, stride=2)
        self.block3 = Block(32, 64, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.bn(self.conv(x)))
        x = self.block3(self.block2(self.block1(x)))
        return self.fc(torch.flatten(self.pool(x), 1))


def train(x: np.ndarray, y: np.ndarray) -> DigitNet:
    """SGD with a one-cycle learning rate. Nothing is tuned or stopped on the held-out images."""
    images, labels = torch.from_numpy(x), torch.from_numpy(y)
    model = DigitNet()
    optimiser = torch.optim.SGD(
        model.parameters(),
        lr=PEAK_LEARNING_RATE,  # the schedule below sets it, and the momentum, at every step
        momentum=0.9,
        nesterov=True,
        weight_decay=WEIGHT_DECAY,
    )
    steps = len(images) // BATCH  # the last, short batch of an epoch is left out
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=PEAK_LEARNING_RATE, total_steps=EPOCHS * steps
    )
    for epoch in range(EPOCHS):
        total = 0.0
        for batch in torch.randperm(len(images))[: steps * BATCH].split(BATCH):
            loss = F.cross_entropy(model(augment(images[batch])), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        if (epoch + 1) % 10 == 0:
            print(f"epoch {epoch + 1:3}  training loss {total / steps:.4f}")
    return model.eval()


# ---- Files ----------------------------------------------------------------------------------


def export(model: DigitNet, path: Path) -> None:
    """Writes the ONNX file with its BatchNormalization nodes: folding them is the compiler's job.

    Both settings matter: `PRESERVE` keeps the exporter from fusing BatchNorm into Conv, which
    it does for `EVAL`; the model itself is in inference mode.
    """
    torch.onnx.export(
        model,
        (torch.zeros(1, 3, 8, 8),),
        path,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
        opset_version=OPSET,
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        dynamo=False,
    )
    onnx.checker.check_model(onnx.load(path), full_check=True)


def write_preprocess(path: Path, mean: float, std: float) -> None:
    path.write_text(
        "# Handwritten digits, 8 x 8: x = (u8 * scale - mean) / std, RGB, NCHW float32.\n"
        "# Mean and deviation of the training pixels, the same for all channels of a grey image.\n"
        f"scale = {1 / 255}\n"
        f"mean = [{mean}, {mean}, {mean}]\n"
        f"std = [{std}, {std}, {std}]\n"
    )


def write_data(out: Path, train_x: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> None:
    np.save(out / "calibration.npy", train_x[:CALIBRATION_IMAGES])
    np.save(out / "test_x.npy", test_x)
    np.save(out / "test_y.npy", test_y)
    (out / "classes.txt").write_text("".join(f"{digit}\n" for digit in range(10)))

    folder = out / "test"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    lines = []
    for i, (pixels, label) in enumerate(zip(test_x[:PNG_IMAGES], test_y)):
        name = f"{i:03}_label{label}.png"
        Image.fromarray(pixels).save(folder / name, optimize=True)
        lines.append(f"{name} {label}\n")
    (folder / "labels.txt").write_text("".join(lines))


# ---- Check ----------------------------------------------------------------------------------


def verify(out: Path, model: DigitNet) -> None:
    """Reads every file back, writes the reference logits and prints the accuracies."""
    preprocess = tomllib.loads((out / "preprocess.toml").read_text())
    session = onnxruntime.InferenceSession(out / "digits.onnx", providers=["CPUExecutionProvider"])

    x = normalise(np.load(out / "test_x.npy"), **preprocess)
    y = np.load(out / "test_y.npy")
    (logits,) = session.run(["logits"], {"image": x})
    with torch.no_grad():
        gap = np.abs(model(torch.from_numpy(x)).numpy() - logits).max()
    assert gap < 1e-4, f"PyTorch and onnxruntime differ by {gap}"
    np.save(out / "expected_logits.npy", logits)
    print(f"held-out images: {report(logits, y)}, largest logit {np.abs(logits).max():.1f}")

    lines = [line.split() for line in (out / "test" / "labels.txt").read_text().splitlines()]
    pixels = np.stack([np.array(Image.open(out / "test" / name)) for name, _ in lines])
    (from_png,) = session.run(["logits"], {"image": normalise(pixels, **preprocess)})
    assert np.allclose(from_png, logits[: len(lines)], atol=1e-4), "the PNG images differ"
    print(f"of which as PNG: {report(from_png, np.array([int(c) for _, c in lines]))}")


def report(logits: np.ndarray, y: np.ndarray) -> str:
    right = int((logits.argmax(1) == y).sum())
    return f"{right}/{len(y)} = {right / len(y):.2%} right"


if __name__ == "__main__":
    main()
