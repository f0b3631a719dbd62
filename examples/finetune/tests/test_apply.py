"""Names: as an export gives them, as modules have them, and as people misspell them."""

from __future__ import annotations

import io
import warnings

import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from trefoil_finetune import AssignmentError, BlockClip, BlockReLU, apply_assignment, relu_names


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.relu6 = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv(x))
        x = functional.relu(self.relu(self.conv(x) + x))
        return self.relu6(self.conv(x)).clamp(0, 3)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.layers = nn.Sequential(Block(), Block())
        self.again = Block()

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(self.again(self.layers(self.stem(x))))
        return x.sub(1).relu().mean((2, 3))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1))
        self.relu = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu(self.stem(x))
        return y


class Untraceable(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.sum() > 0 else -x)


def exported_names(model: nn.Module) -> list[str]:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(), (torch.zeros(1, 3, 8, 8),), file, dynamo=False, opset_version=13
        )
    graph = onnx.load(io.BytesIO(file.getvalue())).graph
    return [node.name for node in graph.node if node.op_type in ("Relu", "Clip")]


@pytest.mark.parametrize("model", [Model(), Plain()])
def test_names_are_those_of_the_exporter(model: nn.Module) -> None:
    assert relu_names(model) == exported_names(model)


def test_functions_and_shared_modules_get_patches_each() -> None:
    torch.manual_seed(0)
    model, x = Model().eval(), torch.randn(2, 3, 12, 12)
    plain = model(x)
    names = relu_names(model)
    pixels = apply_assignment(model, {name: [1, 1] for name in names})
    torch.testing.assert_close(pixels(x), plain)
    blocks = apply_assignment(model, {names[2]: [2, 2], names[-1]: [0, 1]}, x)
    kinds = [type(m) for m in blocks.modules() if isinstance(m, BlockReLU)]
    assert kinds == [BlockReLU, BlockReLU]
    # The parameters are the model's own.
    assert {id(p) for p in blocks.parameters()} == {id(p) for p in model.parameters()}


def test_modules_are_replaced_in_place_and_put_back() -> None:
    model = Plain()
    given = {"stem.1": [[2, 2], [0, 1], [1, 1], [3, 3]], "/relu/Clip": {"lower": [2, 1]}}
    assert apply_assignment(model, given, torch.zeros(1, 3, 8, 8)) is model
    assert isinstance(model.stem[1], BlockReLU)
    assert isinstance(model.relu, BlockClip)
    assert model.relu.high == 6.0
    apply_assignment(model, {})
    assert isinstance(model.stem[1], nn.ReLU)


def test_every_wrong_name_is_reported_with_what_is_near() -> None:
    given = {
        "/stem/stem.1/Rel": [2, 2],
        "zzz": [2, 2],
        "again.relu": [2, 2],
        "/stem/stem.1/Relu": {"lower": [1, 1]},
        "/Relu": [0, 3],
    }
    with pytest.raises(AssignmentError) as caught:
        apply_assignment(Model(), given)
    text = str(caught.value)
    assert len(caught.value.faults) == 5
    assert 'did you mean "/stem/stem.1/Relu"?' in text
    assert '"zzz": the network has no ReLU of this name; it has /stem/stem.1/Relu' in text
    assert '4 ReLUs have this name; write "/again/relu/Relu"' in text
    assert '"lower" and "upper" are for clips' in text
    assert "[0, 3] is no patch" in text


def test_two_names_of_one_relu_are_refused() -> None:
    with pytest.raises(AssignmentError, match="both name"):
        apply_assignment(Plain(), {"stem.1": [2, 2], "/stem/stem.1/Relu": [1, 2]})


def test_an_example_shows_patches_that_do_not_fit() -> None:
    given = {"stem.1": [[1, 1]] * 3, "relu": [7, 2]}
    with pytest.raises(AssignmentError) as caught:
        apply_assignment(Plain(), given, torch.zeros(1, 3, 8, 8))
    assert "3 patches are given, and the ReLU has 4 channels" in str(caught.value)
    with pytest.raises(AssignmentError, match="larger than the map of 6x6"):
        apply_assignment(Plain(), {"relu": [7, 2]}, torch.zeros(1, 3, 8, 8))


def test_a_model_that_cannot_be_traced_goes_by_its_modules() -> None:
    model = Untraceable()
    apply_assignment(model, {"/stem/stem.1/Relu": [2, 2], "relu": [1, 2]})
    assert isinstance(model.stem[1], BlockReLU)
    with pytest.raises(AssignmentError, match="could not be traced"):
        apply_assignment(Untraceable(), {"/stem/stem.7/Relu": [2, 2]})
