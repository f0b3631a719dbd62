"""From a network and its assignment(s) to a tuned file and a report."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import fx

from .assignment import Assignment
from .data import Images, batches
from .errors import FinetuneError
from .evaluate import Score, check_file, predictions, score
from .network import Network
from .norm import insert_norms, norm_modules, re_estimate
from .settings import Settings
from .tune import State, Tuning

Remeasure = Callable[[Path, int], Assignment]
"""Makes the assignment of a stage: from the tuned plain network's file and the stage's number."""

_LOOSE_SHARE = 0.4
_STATISTICS_IMAGES = 2048


@dataclass
class Job:
    """Everything a run is made of."""

    network: Network
    train: Images
    validation: Images
    stages: Sequence[Assignment | None]
    """Assignments from loose to tight; ``None`` asks ``remeasure`` when the stage comes."""
    out: Path
    settings: Settings
    device: torch.device
    teacher: Network | None = None
    """The original, where ``network`` is already tuned."""
    remeasure: Remeasure | None = None
    plain: bool = False
    resume: bool = False


def finetune(job: Job, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Tunes, writes the file and its report; returns the report."""
    started = time.monotonic()
    run = _Run(job, say)
    run.measure_original()
    for index in range(len(job.stages)):
        run.stage(index)
    report = run.finish()
    report["seconds"] = round(time.monotonic() - started, 1)
    _replace_text(Path(f"{job.out}.report.json"), json.dumps(report, indent=2) + "\n")
    run.state_path.unlink(missing_ok=True)
    return report


class _Run:
    """A run while it goes through its stages."""

    def __init__(self, job: Job, say: Callable[[str], None]) -> None:
        self.job, self.say = job, say
        self.network, self.device = job.network, job.device
        self.teacher_network = job.teacher or job.network
        self.teacher = self.teacher_network.module.to(self.device).eval().requires_grad_(False)
        self.state_path = Path(f"{job.out}.state.pt")
        self.student = self._prepared_student()
        self.assignments: list[Assignment] = []
        self.report: dict[str, Any] = {"settings": asdict(job.settings), "stages": []}
        self.saved = self._saved_state()
        if self.saved is not None:
            self.assignments = [Assignment.parse(text) for text in self.saved["assignments"]]

    def measure_original(self) -> None:
        """Scores the network before anything is replaced."""
        images, size = self.job.validation, self.job.settings.batch_size
        self.original = predictions(self.teacher, images, size)
        before = score(self.teacher, images, self.original, size)
        figure = "it has no labels" if before.accuracy is None else f"{before.accuracy:.2%} right"
        self.say(f"original network on {len(images)} validation images: {figure}")
        self.report["validation_images"] = len(images)
        self.report["original"] = asdict(before)

    def stage(self, index: int) -> None:
        """Tunes under one assignment, or takes up what a stopped run has done of it."""
        saved = self.saved
        if saved is not None and index < saved["stage"]:
            self.report["stages"].append(saved["reports"][index])
            return
        assignment = self._assignment(index)
        self.network.assign(self.student, assignment)
        share = self.network.drelu_share(assignment)
        label = f"stage {index + 1}/{len(self.job.stages)}, {share:.1%} of the DReLUs"
        continued = saved is not None and index == saved["stage"]
        if saved is not None and continued:
            before, estimated = (Score(**score) for score in saved["scores"])
        else:
            before = self._score()
            estimated = self._re_estimated(before)
        self.say(f"{label}: untuned {before}")
        self.say(f"{label}: batch norm re-estimated {estimated}")
        tuning = self._tuning(index)
        if saved is not None and continued:
            tuning.load_state(saved["tuning"])
            self.say(f"{label}: continues after epoch {tuning.epoch}")
        scores = [asdict(before), asdict(estimated)]
        tuning.run(lambda state: self._save(index, scores, state), label, self.say)
        self.say(f"{label}: tuned {tuning.outcome.best}")
        self.report["stages"].append(
            {
                "drelu_share": share,
                "untuned": scores[0],
                "batch_norm_re_estimated": scores[1],
                "tuned": asdict(self._score()),
                "seconds": round(tuning.outcome.seconds, 1),
                "history": tuning.state()["history"],
            }
        )

    def finish(self) -> dict[str, Any]:
        """Writes the file and checks it."""
        final = self.assignments[-1]
        model = self.network.write(self.student, final, self.job.out, self.job.plain)
        if self.job.plain:
            self.say(f"wrote {self.job.out}, the plain network for this assignment")
        else:
            difference = check_file(model, self.student, self.job.validation)
            self.say(f"wrote {self.job.out}; its logits in onnxruntime differ by {difference:.1g}")
            self.report["onnxruntime_difference"] = difference
        return self.report

    def _prepared_student(self) -> fx.GraphModule:
        student = self.network.trainable().to(self.device)
        bare = not norm_modules(student)
        if bare and self.job.settings.batch_norm == "auto":
            images = batches(self.job.train, self.job.settings.batch_size, self.device, 512)
            count = insert_norms(student, images, {b.module for b in self.network.bindings})
            self.say(f"batch norm put back behind {count} convolutions; the file folds it again")
        if self.network.frozen:
            self.say(f"not trained, for want of a place in the file: {self.network.frozen}")
        return student

    def _assignment(self, index: int) -> Assignment:
        if index < len(self.assignments):
            return self.assignments[index]
        assignment = self.job.stages[index]
        if assignment is None:
            if self.job.remeasure is None:
                raise FinetuneError(f"stage {index + 1} has no assignment and nothing measures one")
            path = Path(f"{self.job.out}.stage{index}.onnx")
            self.network.write(self.student, Assignment({}), path, plain=True)
            assignment = self.job.remeasure(path, index)
        self.assignments.append(assignment)
        return assignment

    def _tuning(self, index: int) -> Tuning:
        settings, stages = self.job.settings, len(self.job.stages)
        share = 1.0 if stages == 1 else _LOOSE_SHARE / (stages - 1)
        if index == stages - 1 and stages > 1:
            share = 1 - _LOOSE_SHARE
        minutes = settings.budget_minutes
        steps = max(1, len(self.job.train) // settings.batch_size)
        settings = replace(
            settings,
            epochs=ceil(settings.passes(steps) * share),
            budget_minutes=None if minutes is None else minutes * share,
            seed=settings.seed + index,
        )
        features = None
        if settings.feature_weight:
            own = self.network.gates(self.student)
            features = (own, self.teacher_network.gates(self.teacher))
        return Tuning(
            self.student, self.teacher, self.job.train, self.job.validation, settings, features
        )

    def _re_estimated(self, before: Score) -> Score:
        """Fits the batch norms to the patches, unless too few images make that a loss."""
        if not norm_modules(self.student) or self.job.settings.batch_norm == "freeze":
            return before
        kept = copy.deepcopy(self.student.state_dict())
        size = self.job.settings.batch_size
        re_estimate(self.student, batches(self.job.train, size, self.device, _STATISTICS_IMAGES))
        estimated = self._score()
        if estimated.figure < before.figure:
            self.student.load_state_dict(kept)
        return estimated

    def _score(self) -> Score:
        size = self.job.settings.batch_size
        return score(self.student, self.job.validation, self.original, size)

    def _save(self, index: int, scores: list[dict[str, Any]], tuning: State) -> None:
        state = {
            "identity": self._identity(),
            "stage": index,
            "scores": scores,
            "reports": self.report["stages"],
            "assignments": [assignment.to_json() for assignment in self.assignments],
            "tuning": tuning,
        }
        partial = self.state_path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.state_path)

    def _saved_state(self) -> State | None:
        if not self.job.resume:
            return None
        if not self.state_path.exists():
            self.say(f"nothing to resume at {self.state_path}; starting from the beginning")
            return None
        state: State = torch.load(self.state_path, map_location="cpu", weights_only=True)
        if state["identity"] != self._identity():
            raise FinetuneError(
                f"`{self.state_path}` belongs to a run with another network, assignment, data size "
                "or settings; repeat its command line, or start anew without --resume"
            )
        return state

    def _identity(self) -> str:
        """What must be the same for a saved run to be this one."""
        job = self.job
        stages = [None if stage is None else stage.to_json() for stage in job.stages]
        parts = [asdict(job.settings), stages, len(job.train), len(job.validation)]
        digest = hashlib.sha256(json.dumps(parts).encode())
        digest.update(self.network.plain.SerializeToString(deterministic=True))
        digest.update(self.teacher_network.plain.SerializeToString(deterministic=True))
        return digest.hexdigest()


def _replace_text(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
