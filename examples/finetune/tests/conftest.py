"""A network small enough to train in a second, as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper

torch.set_num_threads(1)

CLASSES = 3


def tiny_model(
    bn: bool = True, batch: str | int = "N", opset: int = 17, seed: int = 0
) -> ModelProto:
    """Conv, Relu, Conv, Clip(0, 2) on 11 x 7 maps, a shortcut, and a linear end."""
    rng = np.random.default_rng(seed)
    tensors: list[TensorProto] = []
    nodes = []

    def constant(name: str, value: Any) -> str:
        tensors.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def conv(name: str, x: str, inputs: int, outputs: int) -> str:
        weight = constant(f"{name}.weight", rng.normal(0, 0.4, (outputs, inputs, 3, 3)))
        bias = [] if bn else [constant(f"{name}.bias", rng.normal(0, 0.2, outputs))]
        nodes.append(
            helper.make_node("Conv", [x, weight, *bias], [f"{name}/y"], name=name, pads=[1] * 4)
        )
        if not bn:
            return f"{name}/y"
        stats = [
            constant(f"{name}.bn.{key}", value)
            for key, value in (
                ("scale", rng.uniform(0.7, 1.3, outputs)),
                ("bias", rng.normal(0, 0.2, outputs)),
                ("mean", rng.normal(0, 0.2, outputs)),
                ("var", rng.uniform(0.7, 1.3, outputs)),
            )
        ]
        nodes.append(
            helper.make_node(
                "BatchNormalization", [f"{name}/y", *stats], [f"{name}/bn"], name=f"{name}.bn"
            )
        )
        return f"{name}/bn"

    a = conv("conv1", "image", 3, 6)
    nodes.append(helper.make_node("Relu", [a], ["r1"], name="/relu1/Relu"))
    b = conv("conv2", "r1", 6, 6)
    nodes.append(helper.make_node("Add", [b, "r1"], ["sum"], name="add"))
    limits = [constant("low", 0.0), constant("high", 2.0)]
    nodes.append(helper.make_node("Clip", ["sum", *limits], ["c1"], name="/clip1/Clip"))
    nodes.append(helper.make_node("GlobalAveragePool", ["c1"], ["pooled"], name="pool"))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"))
    end = [
        constant("fc.weight", rng.normal(0, 1, (CLASSES, 6))),
        constant("fc.bias", rng.normal(0, 0.1, CLASSES)),
    ]
    nodes.append(helper.make_node("Gemm", ["flat", *end], ["logits"], name="fc", transB=1))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, 11, 7])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, CLASSES])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


PATCHES = {
    "/relu1/Relu": [[0, 1], [1, 1], [2, 2], [3, 5], [11, 7], [1, 4]],
    "/clip1/Clip": {
        "lower": [[0, 1], [1, 1], [2, 3], [0, 1], [1, 1], [4, 4]],
        "upper": [[0, 1], [1, 1], [5, 1], [3, 3], [0, 1], [1, 1]],
    },
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with model.onnx, patches.json, x.npy, y.npy and p.toml."""
    import json

    onnx.save(tiny_model(), tmp_path / "model.onnx")
    (tmp_path / "patches.json").write_text(json.dumps(PATCHES))
    rng = np.random.default_rng(1)
    np.save(tmp_path / "x.npy", rng.integers(0, 256, (96, 11, 7, 3), dtype=np.uint8))
    np.save(tmp_path / "y.npy", rng.integers(0, CLASSES, 96))
    (tmp_path / "p.toml").write_text(
        "scale = 0.01\nmean = [1.0, 1.2, 1.4]\nstd = [0.5, 0.6, 0.7]\n"
    )
    return tmp_path
