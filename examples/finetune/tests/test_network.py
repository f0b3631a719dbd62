"""ONNX in, ONNX out: weights return to their places, clusters compute what torch computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import PATCHES, tiny_model
from onnx import ModelProto, helper, numpy_helper
from torch import Tensor

from trefoil_finetune import Assignment, AssignmentError, FinetuneError
from trefoil_finetune.network import Network
from trefoil_finetune.norm import insert_norms, norm_modules, re_estimate
from trefoil_finetune.twin import LIMITS_KEY, METADATA_KEY, insert_clusters, strip_clusters

ASSIGNMENT = Assignment.of(PATCHES)


def run(model: ModelProto, x: Tensor) -> Tensor:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    single = [session.run(None, {name: image[None].numpy()})[0] for image in x]
    return torch.from_numpy(np.concatenate(single))


def images(count: int = 5) -> Tensor:
    return torch.randn(count, 3, 11, 7, generator=torch.Generator().manual_seed(3))


def shaken(network: Network, assignment: Assignment = ASSIGNMENT) -> torch.fx.GraphModule:
    """A module with patches and with weights that are not the file's."""
    module = network.trainable()
    network.assign(module, assignment)
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng))
    re_estimate(module, [images(16)])
    return module.eval()


@pytest.mark.parametrize("bn", [True, False])
@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("opset", [13, 18])
def test_the_written_file_computes_what_torch_does(
    tmp_path: Path, bn: bool, batch: str | int, opset: int
) -> None:
    network = Network(tiny_model(bn, batch, opset))
    module = shaken(network)
    model = network.write(module, ASSIGNMENT, tmp_path / "tuned.onnx")
    with torch.no_grad():
        torch.testing.assert_close(run(model, images()), module(images()), atol=1e-4, rtol=1e-4)
    assert {t.name for t in network.plain.graph.initializer} - {"low", "high"} <= {
        t.name for t in model.graph.initializer
    }
    assert {"/relu1/Relu", "/clip1/Clip"} <= {node.name for node in model.graph.node}


def test_the_file_gives_back_network_and_assignment(tmp_path: Path) -> None:
    network = Network(tiny_model())
    module = shaken(network)
    network.write(module, ASSIGNMENT, tmp_path / "tuned.onnx")
    again = Network.load(tmp_path / "tuned.onnx")
    assert again.carried is not None
    assert again.carried.to_json() == ASSIGNMENT.to_json()
    plain = network.tuned(module)
    torch.testing.assert_close(run(again.plain, images()), run(plain, images()))
    # Tuned once more, the clusters come out the same.
    assert shaken_json(insert_clusters(again.plain, again.carried)) == shaken_json(
        onnx.load(tmp_path / "tuned.onnx")
    )


def shaken_json(model: ModelProto) -> list[tuple[str, str, list[str]]]:
    return [(n.name, n.op_type, list(n.output)) for n in model.graph.node]


def test_a_relu_between_fully_connected_layers(tmp_path: Path) -> None:
    model = tiny_model()
    rng = np.random.default_rng(3)
    hidden = [
        numpy_helper.from_array(rng.normal(0, 1, (6, 6)).astype(np.float32), "hidden.weight"),
        numpy_helper.from_array(rng.normal(0, 0.1, 6).astype(np.float32), "hidden.bias"),
    ]
    model.graph.initializer.extend(hidden)
    first = helper.make_node(
        "Gemm", ["flat", "hidden.weight", "hidden.bias"], ["h"], name="hidden", transB=1
    )
    relu = helper.make_node("Relu", ["h"], ["hr"], name="/relu2/Relu")
    last = model.graph.node.pop()
    last.input[0] = "hr"
    model.graph.node.extend([first, relu, last])
    assignment = Assignment.of({**PATCHES, "/relu2/Relu": [[0, 1], [1, 1]] * 3})
    network = Network(model)
    module = shaken(network, assignment)
    written = network.write(module, assignment, tmp_path / "tuned.onnx")
    with torch.no_grad():
        torch.testing.assert_close(run(written, images()), module(images()), atol=1e-4, rtol=1e-4)
    again = Network.load(tmp_path / "tuned.onnx")
    assert again.carried is not None
    assert again.carried.to_json() == assignment.to_json()


def test_metadata_are_the_compilers() -> None:
    model = insert_clusters(tiny_model(), Assignment.of({**PATCHES, "/relu1/Relu": [2, 2]}))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata[METADATA_KEY])["/relu1/Relu"] == [[2, 2]] * 6
    assert json.loads(metadata[LIMITS_KEY]) == {"/clip1/Clip": 2.0}


def test_a_clip_without_upper_signs_keeps_its_limit() -> None:
    given = Assignment.of({"/clip1/Clip": {"lower": [2, 2], "upper": [0, 1]}})
    plain, carried = strip_clusters(insert_clusters(tiny_model(), given))
    assert carried is not None
    torch.testing.assert_close(run(plain, images()), run(tiny_model(), images()))


def test_ordinary_relus_stay_plain_nodes() -> None:
    model = insert_clusters(tiny_model(), Assignment.of({"/relu1/Relu": [1, 1]}))
    assert model.graph == tiny_model().graph
    assert not model.metadata_props


def test_faults_of_the_assignment_are_listed() -> None:
    faulty = {"/relu1/Relu": [[1, 1]] * 5, "/clip1/Clip": [12, 1]}
    with pytest.raises(AssignmentError) as caught:
        insert_clusters(tiny_model(), Assignment.of(faulty))
    assert len(caught.value.faults) == 2
    network = Network(tiny_model())
    with pytest.raises(AssignmentError, match=r'did you mean "/relu1/Relu"'):
        network.assign(network.trainable(), Assignment.of({"/relu/Relu": [2, 2]}))


def test_a_tensor_of_two_nodes_becomes_two() -> None:
    """Exporters state equal tensors once; tuned, they differ."""
    model = tiny_model()
    nodes = {node.name: node for node in model.graph.node}
    nodes["conv2.bn"].input[1] = "alias"
    nodes["conv2.bn"].input[2] = "conv1.bn.bias"
    alias = helper.make_node("Identity", ["conv1.bn.scale"], ["alias"], name="alias")
    model.graph.node.insert(0, alias)
    network = Network(model)
    module = shaken(network)
    torch.testing.assert_close(
        run(insert_clusters(network.tuned(module), ASSIGNMENT), images()),
        module(images()).detach(),
        atol=1e-4,
        rtol=1e-4,
    )


def test_norms_that_come_back_change_nothing_and_fold() -> None:
    network = Network(tiny_model(bn=False))
    module = network.trainable().eval()
    expected = module(images()).detach()
    assert insert_norms(module, [images(32)], {b.module for b in network.bindings}) == 2
    assert len(norm_modules(module)) == 2
    torch.testing.assert_close(module.eval()(images()).detach(), expected, atol=1e-5, rtol=1e-5)
    module.train()(images(32))
    module.eval()
    torch.testing.assert_close(
        run(network.tuned(module), images()), module(images()).detach(), atol=1e-5, rtol=1e-5
    )


def test_kept_signs_are_counted_over_both_signs_of_a_clip() -> None:
    network = Network(tiny_model())
    assert network.drelu_share(Assignment({})) == 1.0
    share = network.drelu_share(Assignment.of({"/clip1/Clip": {"upper": [0, 1]}}))
    assert share == pytest.approx(2 / 3)


def test_what_cannot_be_converted_says_so() -> None:
    model = tiny_model()
    model.graph.node[1].op_type = "Mish"
    with pytest.raises(FinetuneError, match=r"onnx2torch cannot convert the model.*Mish"):
        Network(model)


def test_a_file_that_is_no_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(FinetuneError, match="cannot read the ONNX model"):
        Network.load(tmp_path / "x.onnx")


def test_an_old_opset_has_no_clusters() -> None:
    model = tiny_model()
    model.opset_import[0].version = 12
    with pytest.raises(FinetuneError, match="opset 12"):
        insert_clusters(model, ASSIGNMENT)


def test_weights_that_are_not_trained_are_named() -> None:
    """A scaled Gemm is not what its initializer says, so that it cannot be written back."""
    model = tiny_model()
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    gemm.attribute.append(helper.make_attribute("alpha", 2.0))
    network = Network(model)
    assert network.frozen == ["fc.weight"]
    fixed = next(
        t for t in network.tuned(shaken(network)).graph.initializer if t.name == "fc.weight"
    )
    original = next(t for t in model.graph.initializer if t.name == "fc.weight")
    assert np.array_equal(numpy_helper.to_array(fixed), numpy_helper.to_array(original))
