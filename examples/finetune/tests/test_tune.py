"""Whole runs on a tiny network: they repeat, continue, do without labels, and help."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import PATCHES, tiny_model

from trefoil_finetune import Assignment, FinetuneError, Settings, Tuning
from trefoil_finetune.cli import main
from trefoil_finetune.data import Pixels
from trefoil_finetune.network import Network
from trefoil_finetune.remeasure import by_command


def command(files: Path, *more: str, out: str = "tuned.onnx", epochs: int = 2) -> list[str]:
    return [
        *("--onnx", str(files / "model.onnx"), "--data", str(files / "x.npy")),
        *("--preprocess", str(files / "p.toml"), "--batch-size", "16", "--epochs", str(epochs)),
        *("--hold-out", "0.25", "--precision", "float32", "--device", "cpu"),
        *("-o", str(files / out), *more),
    ]


def weights(path: Path) -> dict[str, bytes]:
    model = onnx.load(path)
    return {tensor.name: tensor.raw_data for tensor in model.graph.initializer}


def losses(path: Path) -> list[float]:
    """What training did, whichever checkpoint was kept."""
    stages = json.loads(Path(f"{path}.report.json").read_text())["stages"]
    return [line["loss"] for stage in stages for line in stage["history"]]


def report(path: Path) -> object:
    """All that a report says but for times."""
    text = Path(f"{path}.report.json").read_text()
    return json.loads(re.sub(r'"seconds": [0-9.e-]+', '"seconds": 0', text))


def assignment(files: Path) -> list[str]:
    return ["--assignment", str(files / "patches.json")]


def test_a_seed_repeats_a_run_and_another_does_not(files: Path) -> None:
    for out, seed in (("a.onnx", 1), ("b.onnx", 1), ("c.onnx", 2)):
        assert main(command(files, *assignment(files), "--seed", str(seed), out=out)) == 0
    assert weights(files / "a.onnx") == weights(files / "b.onnx")
    assert losses(files / "a.onnx") == losses(files / "b.onnx")
    assert losses(files / "a.onnx") != losses(files / "c.onnx")


@pytest.mark.parametrize(("stage", "epoch"), [(0, 1), (1, 0), (1, 1)])
def test_a_run_that_was_stopped_continues_to_the_bit(
    files: Path, monkeypatch: pytest.MonkeyPatch, stage: int, epoch: int
) -> None:
    loose = files / "loose.json"
    loose.write_text(json.dumps({"/relu1/Relu": [1, 2]}))
    more = [*assignment(files), "--schedule", str(loose), "--labels", str(files / "y.npy")]
    assert main(command(files, *more, out="whole.onnx", epochs=5)) == 0
    run_epoch = Tuning._run_epoch

    def stop(self: Tuning, bar: object) -> None:
        if (self.settings.seed, self.epoch) == (stage, epoch):
            raise KeyboardInterrupt
        run_epoch(self, bar)  # type: ignore[arg-type]

    monkeypatch.setattr(Tuning, "_run_epoch", stop)
    assert main(command(files, *more, out="parts.onnx", epochs=5)) == 130
    assert not (files / "parts.onnx").exists()
    monkeypatch.setattr(Tuning, "_run_epoch", run_epoch)
    assert main(command(files, *more, "--resume", out="parts.onnx", epochs=5)) == 0
    assert weights(files / "whole.onnx") == weights(files / "parts.onnx")
    assert report(files / "whole.onnx") == report(files / "parts.onnx")
    assert not (files / "parts.onnx.state.pt").exists()


def test_the_state_of_another_run_is_refused(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trefoil_finetune.pipeline._Run.finish", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(command(files, *assignment(files)))
    monkeypatch.undo()
    assert main(command(files, *assignment(files), "--resume", "--rate", "0.01")) == 2
    assert "belongs to a run with another network" in capsys.readouterr().err


def test_the_report_tells_before_and_after(files: Path) -> None:
    labels = ["--labels", str(files / "y.npy")]
    assert main(command(files, *assignment(files), *labels)) == 0
    report = json.loads((files / "tuned.onnx.report.json").read_text())
    assert report["original"]["agreement"] == 1.0
    stage = report["stages"][0]
    assert [line["epoch"] for line in stage["history"]] == [1, 2]
    assert 0 <= stage["tuned"]["accuracy"] <= 1
    assert report["onnxruntime_difference"] < 1e-3


def test_maps_can_be_compared_too(files: Path) -> None:
    outs = {"a.onnx": "0", "b.onnx": "0.5"}
    for out, weight in outs.items():
        assert main(command(files, *assignment(files), "--feature-weight", weight, out=out)) == 0
    assert losses(files / "a.onnx")[0] < losses(files / "b.onnx")[0]


def test_tuning_never_ends_worse_than_it_began(files: Path) -> None:
    assert main(command(files, *assignment(files), "--rate", "3", "--clip-norm", "1e9")) in (0, 2)
    written = files / "tuned.onnx.report.json"
    if written.exists():
        stage = json.loads(written.read_text())["stages"][0]
        for start in ("untuned", "batch_norm_re_estimated"):
            assert stage["tuned"]["agreement"] >= stage[start]["agreement"]


def test_the_rate_rises_falls_and_heeds_short_runs() -> None:
    settings = Settings()
    rates = [settings.rate_at(step / 100, 1.0) for step in range(101)]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[top] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.0)
    assert settings.peak(True, 10, 0.5) < settings.peak(True, 4000, 0.5) == 0.05
    assert settings.peak(True, 4000, 0.9) < 0.05
    assert settings.passes(4) == 200
    assert settings.passes(100_000) == 10


def test_plain_writes_the_graph_as_it_was(files: Path) -> None:
    assert main(command(files, *assignment(files), "--plain")) == 0
    tuned, original = onnx.load(files / "tuned.onnx"), onnx.load(files / "model.onnx")
    assert list(tuned.graph.node) == list(original.graph.node)
    assert weights(files / "tuned.onnx").keys() == weights(files / "model.onnx").keys()
    assert weights(files / "tuned.onnx") != weights(files / "model.onnx")


def test_a_second_round_starts_from_the_tuned_file(files: Path) -> None:
    assert main(command(files, *assignment(files))) == 0
    again = ["--onnx", str(files / "tuned.onnx"), "--teacher", str(files / "model.onnx")]
    assert main([*command(files, out="again.onnx"), *again]) == 0
    carried = Network.load(files / "again.onnx").carried
    assert carried is not None
    assert carried.to_json() == Assignment.of(PATCHES).to_json()


def test_gradual_budgets_tighten_step_by_step(files: Path) -> None:
    loose = files / "loose.json"
    loose.write_text(json.dumps({"/relu1/Relu": [1, 2]}))
    assert main(command(files, *assignment(files), "--schedule", str(loose))) == 0
    stages = json.loads((files / "tuned.onnx.report.json").read_text())["stages"]
    assert stages[0]["drelu_share"] > stages[1]["drelu_share"]


def test_a_command_measures_the_next_assignment(files: Path) -> None:
    script = files / "assign.py"
    script.write_text(
        "import json, sys\n"
        "model, budget, out = sys.argv[1:]\n"
        "assert open(model, 'rb').read()\n"
        "json.dump({'/relu1/Relu': [1, int(budget)]}, open(out, 'w'))\n"
    )
    import sys

    line = f"{sys.executable} {script} {{model}} {{budget}} {{assignment}}"
    assert main(command(files, "--budgets", "1", "3", "--remeasure", line)) == 0
    carried = Network.load(files / "tuned.onnx").carried
    assert carried is not None
    assert json.loads(carried.to_json()) == {"/relu1/Relu": [[1, 3]] * 6}
    with pytest.raises(FinetuneError, match="exit status"):
        by_command([f"{sys.executable} {script} {{model}}"], ["1"])(files / "model.onnx", 0)
    with pytest.raises(FinetuneError, match="cannot start"):
        by_command(["no-such-program-anywhere"], ["1"])(files / "model.onnx", 0)


@pytest.mark.parametrize("bn", [True, False])
@pytest.mark.parametrize("labelled", [True, False])
def test_tuning_brings_the_answers_back(bn: bool, labelled: bool) -> None:
    """Twelve passes win back most of what the patches cost, with labels or without."""
    torch.manual_seed(0)
    network = Network(tiny_model(bn))
    x = torch.randn(512, 11, 7, 3).cumsum(1).cumsum(2) / 4
    labels = network.module.eval()(x.permute(0, 3, 1, 2)).argmax(1) if labelled else None
    images = Pixels(x, None, labels)
    student = network.trainable()
    network.assign(student, Assignment.of({**PATCHES, "/relu1/Relu": [3, 3]}))
    settings = Settings(epochs=12, batch_size=32, augment="none", average=0.9)
    tuning = Tuning(student, network.module, images, images, settings)
    before = (student.eval()(x.permute(0, 3, 1, 2)).argmax(1) == tuning.original).float().mean()
    outcome = tuning.run()
    assert outcome.best is not None
    assert outcome.best.agreement > 0.9
    assert outcome.best.agreement > before


def test_a_budget_of_time_ends_the_run(files: Path) -> None:
    more = [*assignment(files), "--budget-minutes", "0.02"]
    assert main(command(files, *more, epochs=10_000)) == 0
    report = json.loads((files / "tuned.onnx.report.json").read_text())
    assert report["stages"][0]["seconds"] < 10


def test_mistakes_on_the_command_line_are_sentences(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(files / "wide.npy", np.zeros((4, 11, 8, 3), np.uint8))
    for wrong, message in (
        (["--data", str(files / "wide.npy"), *assignment(files)], "the network takes (3, 11, 7)"),
        ([], "the model carries none"),
        (["--epochs", "0", *assignment(files)], "--epochs must be at least 1"),
        (["--budgets", "0.5"], "--remeasure"),
        (["-o", str(files / "no" / "x.onnx"), *assignment(files)], "does not exist"),
    ):
        assert main([*command(files), *wrong]) == 2
        assert message in capsys.readouterr().err
