"""The training loop: from a student whose ReLUs were just replaced to the best one seen.

Nothing in it knows ONNX: student and teacher are any two torch modules with the same classes.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .data import Images
from .distill import Taps, answer_loss, feature_loss, label_loss
from .errors import FinetuneError
from .evaluate import Score, predictions, score
from .network import device_of
from .norm import norm_modules
from .settings import Settings

State = dict[str, Any]
"""What a run can be continued from."""


@dataclass
class Epoch:
    """One line of a run's history."""

    epoch: int
    loss: float
    score: Score
    seconds: float


@dataclass
class Tuned:
    """The outcome of a run."""

    history: list[Epoch] = field(default_factory=list)
    best: Score | None = None
    seconds: float = 0.0


class Tuning:
    """One run, which can be saved after every epoch and continued to the bit.

    An epoch's order and augmentation come from the seed and its number alone. (With a budget of
    minutes the rate follows the clock, and nothing repeats to the bit.)
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        train: Images,
        validation: Images,
        settings: Settings,
        features: tuple[Mapping[str, nn.Module], Mapping[str, nn.Module]] | None = None,
    ) -> None:
        """``features``: modules of student and teacher whose outputs are compared, by name."""
        if not len(train) or not len(validation):
            raise FinetuneError("there must be images both to train on and to validate with")
        self.student, self.teacher = student, teacher.eval()
        self.train, self.validation = train, validation
        self.settings = settings
        self.features = features
        self.device = device_of(student)
        self.average = copy.deepcopy(student)
        self.original = predictions(teacher, validation, settings.batch_size)
        self.steps_per_epoch = max(1, len(train) // settings.batch_size)
        self.steps = settings.passes(self.steps_per_epoch) * self.steps_per_epoch
        untuned = self._score(student)
        normed = bool(norm_modules(student)) and settings.batch_norm == "auto"
        self.peak = settings.peak(normed, self.steps, untuned.agreement)
        self.optimizer = self._optimizer()
        self.epoch = 0
        self.step = 0
        self.outcome = Tuned()
        self.best_state: dict[str, Tensor] | None = None
        self._keep_if_best(student, untuned)

    def run(
        self,
        save: Callable[[State], None] | None = None,
        label: str = "tuning",
        say: Callable[[str], None] = print,
    ) -> Tuned:
        """Trains to the end and leaves the best weights seen in ``student``."""
        torch.manual_seed(self.settings.seed)
        torch.backends.cudnn.deterministic = True
        quiet = not sys.stderr.isatty()
        with tqdm(
            total=self.steps, initial=self.step, desc=label, unit="step", disable=quiet
        ) as bar:
            while self._progress() < 1:
                self._run_epoch(bar)
                if save is not None:
                    save(self.state())
                if quiet:
                    say(self._line(label))
        if self.best_state is not None:
            self.student.load_state_dict(self.best_state)
        return self.outcome

    def state(self) -> State:
        """All that a later run needs to continue."""
        return {
            "student": self.student.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best_state,
            "best_score": asdict(self._best()),
            "peak": self.peak,
            "epoch": self.epoch,
            "step": self.step,
            "history": [
                {**asdict(line), "score": asdict(line.score)} for line in self.outcome.history
            ],
            "seconds": self.outcome.seconds,
        }

    def load_state(self, state: State) -> None:
        """Continues from a saved state."""
        self.student.load_state_dict(state["student"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best_state = state["best"]
        self.peak = state["peak"]
        self.epoch, self.step = state["epoch"], state["step"]
        history = [Epoch(**{**line, "score": Score(**line["score"])}) for line in state["history"]]
        self.outcome = Tuned(history, Score(**state["best_score"]), state["seconds"])

    def _run_epoch(self, bar: tqdm[Any]) -> None:
        started = time.monotonic()
        losses = []
        with self._taps() as taps:
            for images, labels in self._batches():
                rate = self.settings.rate_at(self._progress(started), self.peak)
                losses.append(self._step(images, labels, rate, taps))
                bar.update()
                if self._progress(started) >= 1:
                    break
        self.epoch += 1
        # An epoch that the clock cut short ends like any other.
        self.step = max(self.step, self.epoch * self.steps_per_epoch)
        kept = self.average if self.settings.average else self.student
        found = self._score(kept)
        self._keep_if_best(kept, found)
        loss = float(torch.stack(losses).mean())
        if loss != loss:
            raise FinetuneError(
                f"the loss is no longer a number in epoch {self.epoch}; try a lower --rate "
                f"than {self.peak:g}"
            )
        seconds = time.monotonic() - started
        self.outcome.seconds += seconds
        self.outcome.history.append(Epoch(self.epoch, loss, found, seconds))
        bar.set_postfix_str(f"loss {loss:.3f}, {found.figure:.2%}, best {self._best().figure:.2%}")

    def _score(self, module: nn.Module) -> Score:
        return score(module, self.validation, self.original, self.settings.batch_size)

    def _keep_if_best(self, module: nn.Module, found: Score) -> None:
        if self.outcome.best is None or found.figure >= self.outcome.best.figure:
            self.outcome.best = found
            self.best_state = {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}

    def _step(
        self, images: Tensor, labels: Tensor | None, rate: float, taps: tuple[Taps, Taps] | None
    ) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.no_grad(), self._cast():
            target = self.teacher(images)
        with self._cast():
            answer = self.student(images)
        loss = self._loss(answer, target, labels)
        if taps is not None:
            features = feature_loss(taps[0].outputs, taps[1].outputs)
            loss = loss + self.settings.feature_weight * features
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip_norm)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return loss.detach()

    def _loss(self, answer: Tensor, target: Tensor, labels: Tensor | None) -> Tensor:
        loss = answer_loss(answer, target, self.settings.temperature)
        weight = self.settings.label_weight
        if labels is None or weight == 0 or answer.dim() != 2:
            return loss
        return (1 - weight) * loss + weight * label_loss(answer, labels)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        self.student.train()
        if self.settings.batch_norm == "freeze":
            for norm in norm_modules(self.student):
                norm.eval()
        # Nothing carries over from epoch to epoch, so that a run continues as if never stopped.
        rng = torch.Generator().manual_seed(self.settings.seed * 100_003 + self.epoch)
        order = torch.randperm(len(self.train), generator=rng)
        size = min(self.settings.batch_size, len(self.train))
        for start in range(0, self.steps_per_epoch * size, size):
            chosen = order[start : start + size]
            images = self.train.batch(chosen, rng, self.settings.augment).to(self.device)
            labels = self.train.labels
            yield images, None if labels is None else labels[chosen].to(self.device)

    def _progress(self, epoch_started: float | None = None) -> float:
        """The part of the run that is over, by steps or by the clock, whichever is further."""
        by_step = self.step / self.steps
        if self.settings.budget_minutes is None:
            return by_step
        running = 0.0 if epoch_started is None else time.monotonic() - epoch_started
        by_clock = (self.outcome.seconds + running) / (60 * self.settings.budget_minutes)
        return max(by_step, by_clock)

    @torch.no_grad()
    def _update_average(self) -> None:
        if not self.settings.average:
            return
        # The first steps count little: early on the average follows closely.
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        own, new = self.average.state_dict(), self.student.state_dict()
        floats = [key for key, value in own.items() if value.is_floating_point()]
        torch._foreach_lerp_([own[k] for k in floats], [new[k] for k in floats], 1 - decay)

    def _optimizer(self) -> torch.optim.SGD:
        trained = [p for p in self.student.parameters() if p.requires_grad]
        groups = [
            {
                "params": [p for p in trained if p.dim() > 1],
                "weight_decay": self.settings.weight_decay,
            },
            {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.SGD(groups, self.peak, self.settings.momentum, nesterov=True)

    def _taps(self) -> Any:
        if self.features is None or self.settings.feature_weight == 0:
            return nullcontext()
        return _Pair(Taps(self.features[0]), Taps(self.features[1]))

    def _cast(self) -> Any:
        if not self.settings.is_bfloat16(self.device):
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _best(self) -> Score:
        assert self.outcome.best is not None
        return self.outcome.best

    def _line(self, label: str) -> str:
        line = self.outcome.history[-1]
        progress = self._progress()
        left = self.outcome.seconds * (1 - progress) / max(progress, 1e-9)
        return (
            f"{label}: epoch {line.epoch}, loss {line.loss:.3f}, {line.score}, "
            f"{line.seconds:.0f} s, {max(0.0, left) / 60:.1f} min left"
        )


class _Pair(tuple[Taps, Taps]):
    """Two sets of taps that close together."""

    def __new__(cls, student: Taps, teacher: Taps) -> _Pair:
        return super().__new__(cls, (student, teacher))

    def __enter__(self) -> _Pair:
        return self

    def __exit__(self, *error: Any) -> None:
        for taps in self:
            taps.__exit__(*error)
