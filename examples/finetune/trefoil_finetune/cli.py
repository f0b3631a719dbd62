"""The command line: raw arguments to a checked job."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from .assignment import Assignment
from .data import Images, open_images, split
from .errors import FinetuneError
from .network import Network
from .pipeline import Job, finetune
from .preprocess import Preprocess
from .remeasure import by_command
from .settings import Settings, pick_device


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; an error of the input is one message and exit status 2."""
    options = _parser().parse_args(arguments)
    try:
        if options.threads:
            torch.set_num_threads(options.threads)
        finetune(_job(options), lambda line: print(line, flush=True))
    except FinetuneError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command with --resume continues", file=sys.stderr)
        return 130
    return 0


def _job(options: argparse.Namespace) -> Job:
    settings = Settings(**{field.name: getattr(options, field.name) for field in fields(Settings)})
    _check(options, settings)
    network = Network.load(options.onnx)
    preprocess = None if options.preprocess is None else Preprocess.load(options.preprocess)
    data = open_images(options.data, preprocess, options.labels)
    _check_shape(data, network, options.data)
    train, validation = _split(options, data, preprocess, settings, network)
    device = pick_device(options.device)
    return Job(
        network=network,
        teacher=None if options.teacher is None else Network.load(options.teacher),
        train=train.to(device),
        validation=validation.to(device),
        stages=_stages(options, network),
        remeasure=by_command(options.remeasure, options.budgets) if options.remeasure else None,
        out=options.out,
        settings=settings,
        device=device,
        plain=options.plain,
        resume=options.resume,
    )


def _stages(options: argparse.Namespace, network: Network) -> list[Assignment | None]:
    if options.budgets:
        if not options.remeasure:
            raise FinetuneError("--budgets needs --remeasure, the command that makes assignments")
        return [None] * len(options.budgets)
    if options.assignment is not None:
        last = Assignment.load(options.assignment)
    elif network.carried is not None:
        last = network.carried
    elif options.schedule:
        return [Assignment.load(path) for path in options.schedule]
    else:
        raise FinetuneError("give an assignment with --assignment; the model carries none")
    return [*(Assignment.load(path) for path in options.schedule), last]


def _split(
    options: argparse.Namespace,
    data: Images,
    preprocess: Preprocess | None,
    settings: Settings,
    network: Network,
) -> tuple[Images, Images]:
    if options.validation is not None:
        validation = open_images(options.validation, preprocess, options.validation_labels)
        _check_shape(validation, network, options.validation)
        return data, validation
    held_out = max(1, round(len(data) * settings.hold_out))
    if held_out >= len(data):
        raise FinetuneError(f"`{options.data}` holds {len(data)} image(s); tuning needs more")
    return split(data, held_out, settings.seed)


def _check_shape(images: Images, network: Network, path: Path) -> None:
    found = tuple(images.batch(torch.tensor([0]), None, "none").shape[1:])
    if found != network.input_shape:
        raise FinetuneError(
            f"the images of `{path}` become inputs of {found}, and the network takes "
            f"{network.input_shape}; adapt the preprocess description (shorter_side and crop, or "
            "longer_side, canvas and fill), or for floats the array"
        )


def _check(options: argparse.Namespace, settings: Settings) -> None:
    wrong = [
        (settings.epochs is not None and settings.epochs < 1, "--epochs must be at least 1"),
        (settings.batch_size < 1, "--batch-size must be at least 1"),
        (not 0 <= settings.average < 1, "--average must lie in 0 to 1"),
        (not 0 < settings.hold_out < 1, "--hold-out must lie between 0 and 1"),
        (not settings.temperature > 0, "--temperature must be positive"),
        (not 0 <= settings.label_weight <= 1, "--label-weight must lie in 0 to 1"),
        (not 0 < settings.warm_up < 1, "--warm-up must lie between 0 and 1"),
        (
            settings.budget_minutes is not None and not settings.budget_minutes > 0,
            "--budget-minutes must be positive",
        ),
        (
            options.validation_labels is not None and options.validation is None,
            "--validation-labels belong to --validation",
        ),
        (not options.out.parent.is_dir(), f"the folder of `{options.out}` does not exist"),
    ]
    for is_wrong, message in wrong:
        if is_wrong:
            raise FinetuneError(message)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trefoil_finetune",
        description="Fine-tunes an ONNX network with Block-ReLUs in place, by distillation from "
        "the network as it is; labels are not needed.",
    )
    add = parser.add_argument
    add("--onnx", type=Path, required=True, metavar="MODEL", help="the network")
    add(
        "--assignment",
        type=Path,
        metavar="A.json",
        help="patches by ReLU name; default: those that the model carries",
    )
    add("--data", type=Path, required=True, help="images to train on: .npy or a folder")
    add("--preprocess", type=Path, metavar="P.toml", help="how bytes become inputs")
    add("--labels", type=Path, help="classes of the images (.npy, or lines of `file class`)")
    add(
        "--validation",
        type=Path,
        metavar="DATA",
        help="images that checkpoints are chosen by; default: a held-out part of the data",
    )
    add("--validation-labels", type=Path, metavar="LABELS")
    add("--teacher", type=Path, metavar="MODEL", help="the original, if MODEL is already tuned")
    add(
        "--schedule",
        type=Path,
        nargs="+",
        default=[],
        metavar="A.json",
        help="looser assignments to tune under first, from loose to tight",
    )
    add(
        "--budgets",
        nargs="+",
        default=[],
        metavar="B",
        help="instead of files: budgets from loose to tight, each measured with --remeasure",
    )
    add(
        "--remeasure",
        action="append",
        default=[],
        metavar="CMD",
        help="makes {assignment} of {model} and {budget}; may be given several times",
    )
    add("-o", "--out", type=Path, required=True, metavar="TUNED", help="the ONNX file to write")
    add("--plain", action="store_true", help="write the network without its Block-ReLUs")
    add("--resume", action="store_true", help="continue a run that was stopped")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--threads", type=int, default=0, help="processor threads; default: torch's choice")
    _add_recipe(parser.add_argument_group("recipe", "meant to work untouched"))
    return parser


def _add_recipe(group: Any) -> None:
    default = Settings()
    for flag, kind in (
        ("--epochs", int),
        ("--budget-minutes", float),
        ("--batch-size", int),
        ("--rate", float),
        ("--warm-up", float),
        ("--momentum", float),
        ("--weight-decay", float),
        ("--clip-norm", float),
        ("--temperature", float),
        ("--label-weight", float),
        ("--feature-weight", float),
        ("--average", float),
        ("--hold-out", float),
        ("--seed", int),
    ):
        value = getattr(default, flag[2:].replace("-", "_"))
        group.add_argument(
            flag,
            type=kind,
            default=value,
            help=f"default: {'automatic' if value is None else value}",
        )
    group.add_argument("--augment", choices=["crop-flip", "crop", "none"], default=default.augment)
    group.add_argument("--batch-norm", choices=["auto", "freeze"], default=default.batch_norm)
    group.add_argument(
        "--precision", choices=["auto", "float32", "bfloat16"], default=default.precision
    )
