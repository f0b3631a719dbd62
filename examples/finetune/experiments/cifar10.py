"""Tunes a CIFAR-10 network under several assignments and writes one line of a table for each.

    python cifar10.py --onnx resnet20.onnx --npz train.npz --preprocess cifar10.toml \\
        --test x.npy --test-labels y.npy --out results --epochs 50 --jobs 8 \\
        --vary label_weight=0,0.1 a50.json a25.json a15.json a06.json

The npz holds x (uint8 NHWC) and y; a label weight of 0 is a run without labels, which it then
never sees. Checkpoints are chosen on a held-out part of the training images; the test images are
looked at once, through the file that was written. With ``--gradual`` the assignments, sorted from
loose to tight, are the steps on the way to each of them. ``--vary KEY=V1,V2`` takes any setting
of the recipe and may be given several times.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import multiprocessing
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trefoil_finetune.assignment import Assignment
from trefoil_finetune.data import Pixels, open_images, split
from trefoil_finetune.evaluate import predictions
from trefoil_finetune.network import Network
from trefoil_finetune.pipeline import Job, finetune
from trefoil_finetune.preprocess import Preprocess
from trefoil_finetune.settings import Settings, pick_device


@dataclass(frozen=True)
class Task:
    """One run."""

    name: str
    stages: tuple[Path, ...]
    settings: Settings
    options: argparse.Namespace


def main() -> None:
    """Runs every task and writes results.csv, line by line as they end."""
    options = _parser().parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tasks = list(_tasks(options))
    print(f"{len(tasks)} runs, {options.jobs} at a time, on {pick_device(options.device)}")
    rows: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(options.jobs, maxtasksperchild=1) as pool:
        for row in pool.imap_unordered(_run, tasks):
            rows.append(row)
            _write(options.out / "results.csv", sorted(rows, key=lambda r: str(r["run"])))
            print({key: row[key] for key in ("run", "drelu_share", "untuned", "test")}, flush=True)


def _tasks(options: argparse.Namespace) -> Iterable[Task]:
    base = Settings(epochs=options.epochs, budget_minutes=options.budget_minutes, seed=options.seed)
    network = Network.load(options.onnx)
    shares = {path: network.drelu_share(Assignment.load(path)) for path in options.assignments}
    for values in itertools.product(*(_values(text) for text in options.vary)):
        settings = replace(base, **dict(values))
        label = "".join(f"-{key}={value}" for key, value in values)
        for path in options.assignments:
            yield Task(f"{path.stem}{label}", (path,), settings, options)
            looser = [p for p in options.assignments if shares[p] > shares[path]]
            if options.gradual and looser:
                looser.sort(key=lambda p: -shares[p])
                stages = (*looser, path)
                yield Task(f"{path.stem}{label}-gradual", stages, settings, options)


def _run(task: Task) -> dict[str, Any]:
    options, started = task.options, time.monotonic()
    torch.set_num_threads(options.threads)
    device = pick_device(options.device)
    network = Network.load(options.onnx)
    preprocess = Preprocess.load(options.preprocess)
    with np.load(options.npz) as arrays:
        labels = torch.from_numpy(arrays["y"]) if task.settings.label_weight else None
        images = Pixels(torch.from_numpy(arrays["x"]), preprocess, labels)
    held_out = round(len(images) * task.settings.hold_out)
    train, validation = split(images, held_out, task.settings.seed)
    out = options.out / f"{task.name}.onnx"
    job = Job(
        network=network,
        train=train.to(device),
        validation=validation.to(device),
        stages=[Assignment.load(path) for path in task.stages],
        out=out,
        settings=task.settings,
        device=device,
        resume=Path(f"{out}.state.pt").exists(),
    )
    report = finetune(job, lambda line: print(f"{task.name}: {line}", flush=True))
    last = report["stages"][-1]
    return {
        "run": task.name,
        "assignment": task.stages[-1].name,
        "stages": len(task.stages),
        "drelu_share": round(last["drelu_share"], 4),
        "original": _test(options, options.onnx, device),
        "untuned": _test(options, options.onnx, device, task.stages[-1]),
        "validation": last["tuned"]["accuracy"] or last["tuned"]["agreement"],
        "test": _test(options, out, device),
        "epochs": sum(len(stage["history"]) for stage in report["stages"]),
        "tuning_seconds": round(sum(stage["seconds"] for stage in report["stages"])),
        "seconds": round(time.monotonic() - started),
        "device": str(device),
        **{key: value for key, value in asdict(task.settings).items() if value is not None},
        "file": out.name,
    }


def _test(
    options: argparse.Namespace, file: Path, device: torch.device, patches: Path | None = None
) -> float:
    """Top-1 of a file on the test images, under the patches it carries or those given."""
    network = Network.load(file)
    carried = network.carried if patches is None else Assignment.load(patches)
    module = network.module.to(device)
    network.assign(module, carried or Assignment({}))
    preprocess = Preprocess.load(options.preprocess)
    images = open_images(options.test, preprocess, options.test_labels).to(device)
    assert images.labels is not None
    found = predictions(module, images, 256)
    return round(100 * float((found == images.labels).double().mean()), 2)


def _values(text: str) -> list[tuple[str, Any]]:
    key, _, values = text.partition("=")
    kinds = {field.name: type(getattr(Settings(), field.name)) for field in fields(Settings)}
    if key not in kinds or not values:
        raise SystemExit(f"--vary {text}: write KEY=V1,V2 with a KEY of {', '.join(kinds)}")
    # A setting that is automatic unless given is a number.
    automatic = int if key == "epochs" else float
    kind = automatic if kinds[key] is type(None) else kinds[key]
    return [(key, kind(value)) for value in values.split(",")]


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("assignments", type=Path, nargs="+")
    for name in ("onnx", "npz", "preprocess", "test", "test-labels", "out"):
        add(f"--{name}", type=Path, required=True)
    add("--epochs", type=int, help="default: some 4,000 steps")
    add("--budget-minutes", type=float, help="a run; 45 on two cores is the project's measure")
    add("--jobs", type=int, default=1, help="runs at a time")
    add("--threads", type=int, default=2, help="processor threads a run")
    add("--device", default="auto")
    add("--seed", type=int, default=0)
    add("--gradual", action="store_true")
    add("--vary", action="append", default=[], metavar="KEY=V1,V2")
    return parser


if __name__ == "__main__":
    main()
