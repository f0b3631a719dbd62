"""Block-ReLUs in standard ONNX operators, and back.

A ReLU whose channels have patches becomes a cluster of nodes that any ONNX runtime executes::

    Gather the channels of one patch -> AveragePool > 0 -> Resize -> Mul   (one such per patch)
    Concat -> Gather back into the channels' order

The last node keeps the ReLU's name and output, all others are named ``NAME/block/…``, and the
model's metadata entry ``trefoil.assignment`` holds the patches, which is how ``trefoil compile``
knows the clusters again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from .assignment import (
    IDENTITY,
    PIXEL,
    Assignment,
    AssignmentError,
    Choice,
    LayerChoice,
    Patch,
    patch_faults,
)
from .errors import FinetuneError

METADATA_KEY = "trefoil.assignment"
"""The metadata entry that holds the assignment."""

LIMITS_KEY = "trefoil.limits"
"""The metadata entry that holds the upper limits of clips with patches, by name."""

_MIN_OPSET = 13

# Repeats whole rows and columns.
_SPREAD = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}


def insert_clusters(model: ModelProto, assignment: Assignment) -> ModelProto:
    """A copy of ``model`` in which every ReLU with patches is a cluster.

    The metadata names the ReLUs that have patches, with one patch per channel.
    """
    _require_opset(model)
    result = ModelProto()
    result.CopyFrom(model)
    gates = relu_nodes(result)
    unknown = [name for name in assignment if name not in gates]
    if unknown:
        raise AssignmentError([f'"{n}": the network has no ReLU of this name' for n in unknown])
    sizes = map_sizes(result, [node.input[0] for node in gates.values()])
    constants = constant_values(result)
    written: dict[str, LayerChoice] = {}
    limits: dict[str, float] = {}
    faults: list[str] = []
    for name, choice in assignment.items():
        node = gates[name]
        try:
            high = clip_limits(node, constants)[1] if node.op_type == "Clip" else np.inf
            layer = _Layer.of(choice, high, sizes[node.input[0]])
        except ValueError as error:
            faults.append(f'"{name}": {error}')
            continue
        if not layer.is_plain():
            _replace_node(result, node, _Cluster(node, name, layer))
            written[name] = layer.choice()
            if layer.upper is not None:
                limits[name] = layer.high
    if faults:
        raise AssignmentError(faults)
    _drop_initializers(result, _read_by_nodes(model) - _read_by_nodes(result))
    if written:
        set_metadata(result, METADATA_KEY, Assignment(written).to_json())
    if limits:
        set_metadata(result, LIMITS_KEY, json.dumps(limits, sort_keys=True))
    return result


def strip_clusters(model: ModelProto) -> tuple[ModelProto, Assignment | None]:
    """The plain network of a file that carries an assignment, and this assignment."""
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    text = metadata.get(METADATA_KEY)
    result = ModelProto()
    result.CopyFrom(model)
    if text is None:
        return result, None
    assignment = Assignment.parse(text)
    limits = json.loads(metadata.get(LIMITS_KEY, "{}"))
    for name in assignment:
        _strip(result, name, limits.get(name))
    kept = [p for p in result.metadata_props if p.key not in (METADATA_KEY, LIMITS_KEY)]
    del result.metadata_props[:]
    result.metadata_props.extend(kept)
    return result, assignment


def node_name(node: NodeProto) -> str:
    """A node's name: its first output's where exporters leave it empty."""
    return node.name or node.output[0]


def relu_nodes(model: ModelProto) -> dict[str, NodeProto]:
    """ReLUs and clips from 0 by name; a name that comes again gets a number, as in the compiler."""
    constants = constant_values(model)
    gates: dict[str, NodeProto] = {}
    for node in model.graph.node:
        if not _is_gate(node, constants):
            continue
        name, count = node_name(node), 2
        while name in gates:
            name, count = f"{node_name(node)}#{count}", count + 1
        gates[name] = node
    return gates


def clip_limits(node: NodeProto, constants: dict[str, NDArray[np.float32]]) -> tuple[float, float]:
    """The lower and upper limit of a Clip; infinite where it has none."""
    limits = [-np.inf, np.inf]
    for index, name in enumerate(node.input[1:3]):
        if name:
            limits[index] = float(constants[name]) if name in constants else np.nan
    return limits[0], limits[1]


def constant_values(model: ModelProto) -> dict[str, NDArray[np.float32]]:
    """Every scalar initializer and Constant, by name."""
    tensors = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensors[node.output[0]] = node.attribute[0].t
    scalars = {n: t for n, t in tensors.items() if int(np.prod(t.dims)) == 1}
    return {n: np.asarray(numpy_helper.to_array(t)).reshape(()) for n, t in scalars.items()}


def map_sizes(model: ModelProto, values: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Channels, height and width of these values; features of linear layers are 1x1 maps."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=False, data_prop=True).graph
    infos = {v.name: v for v in [*graph.input, *graph.value_info, *graph.output]}
    sizes = {}
    for value in values:
        shape = infos[value].type.tensor_type.shape.dim if value in infos else []
        dims = [dim.dim_value for dim in shape]
        if len(dims) == 2:
            dims += [1, 1]
        if len(dims) != 4 or not all(dims[1:]):
            raise FinetuneError(
                f"the shape of `{value}`, the input of a ReLU, is not known as [N, C, H, W] or "
                "[N, C]; export the model with a fixed image size (only the batch may vary)"
            )
        sizes[value] = (dims[1], dims[2], dims[3])
    return sizes


def set_metadata(model: ModelProto, key: str, value: str) -> None:
    """Sets one metadata entry."""
    for entry in model.metadata_props:
        if entry.key == key:
            entry.value = value
            return
    model.metadata_props.add(key=key, value=value)


def _is_gate(node: NodeProto, constants: dict[str, NDArray[np.float32]]) -> bool:
    if node.op_type == "Relu":
        return True
    return node.op_type == "Clip" and clip_limits(node, constants)[0] == 0.0


def _require_opset(model: ModelProto) -> None:
    version = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if version < _MIN_OPSET:
        raise FinetuneError(
            f"the model has opset {version}, and Block-ReLUs are written in the operators of opset "
            f"{_MIN_OPSET}; convert it with onnx.version_converter.convert_version(model, 17), or "
            "write the plain network with --plain"
        )


@dataclass(frozen=True)
class _Layer:
    """The patches of one gate, checked against its map."""

    lower: tuple[Patch, ...]
    upper: tuple[Patch, ...] | None
    high: float
    size: tuple[int, int]

    @classmethod
    def of(cls, choice: LayerChoice, high: float, size: tuple[int, int, int]) -> _Layer:
        channels, height, width = size
        clip = high < np.inf
        if choice.by_sign and not clip:
            raise ValueError('"lower" and "upper" are for clips, and this ReLU has one sign')
        lower, upper = (
            sign.for_channels(channels) if sign is not None else (PIXEL,) * channels
            for sign in (choice.lower, choice.upper)
        )
        for patches in (lower, upper):
            for fault in patch_faults(patches, channels, (height, width)):
                raise ValueError(fault)
        return cls(lower, upper if clip else None, high, (height, width))

    def is_plain(self) -> bool:
        return set(self.lower) | set(self.upper or ()) == {PIXEL}

    def choice(self) -> LayerChoice:
        lower = Choice(self.lower)
        if self.upper is None:
            return LayerChoice(lower, lower)
        return LayerChoice(lower, Choice(self.upper), by_sign=True)

    def classes(self) -> dict[tuple[Patch, Patch], list[int]]:
        """Channels by (lower patch, upper patch), ascending."""
        members: dict[tuple[Patch, Patch], list[int]] = {}
        for channel, lower in enumerate(self.lower):
            upper = self.upper[channel] if self.upper is not None else IDENTITY
            members.setdefault((lower, upper), []).append(channel)
        return dict(sorted(members.items()))


@dataclass
class _Cluster:
    """The nodes and initializers of one Block-ReLU."""

    gate: NodeProto
    name: str
    layer: _Layer
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def build(self) -> None:
        members = self.layer.classes()
        parts = []
        for index, ((lower, upper), channels) in enumerate(members.items()):
            indices = self._constant(f"{index}/channels", np.array(channels, np.int64))
            x = self._node("Gather", f"{index}/x", [self.gate.input[0], indices], axis=1)
            parts.append(self._class(index, x, lower, upper))
        joined = self._node("Concat", "concat", parts, axis=1)
        order = [channel for group in members.values() for channel in group]
        inverse = self._constant("order", np.argsort(order).astype(np.int64))
        last = helper.make_node(
            "Gather", [joined, inverse], [self.gate.output[0]], name=node_name(self.gate), axis=1
        )
        self.nodes.append(last)

    def _class(self, at: int, x: str, lower: Patch, upper: Patch) -> str:
        """Writes one class; returns its gated value."""
        if upper == IDENTITY:
            return self._below(f"{at}", "y", x, lower)
        high = self._shared("high", np.array(self.layer.high, np.float32))
        if lower == upper == PIXEL:
            return self._node("Clip", f"{at}/y", [x, self._zero(), high])
        kept = x if lower == IDENTITY else self._gated(f"{at}", "lower", "kept", x, lower)
        over = self._node("Sub", f"{at}/over", [x, high])
        excess = self._gated(f"{at}", "upper", "excess", over, upper)
        return self._node("Sub", f"{at}/y", [kept, excess])

    def _below(self, at: str, result: str, x: str, patch: Patch) -> str:
        if patch == IDENTITY:
            return self._node("Identity", f"{at}/{result}", [x])
        if patch == PIXEL and self.layer.upper is None:
            return self._node("Relu", f"{at}/{result}", [x])
        return self._gated(at, "lower", result, x, patch)

    def _gated(self, at: str, sign: str, result: str, x: str, patch: Patch) -> str:
        """The value where the mean over its patch is positive, else 0."""
        return self._node("Mul", f"{at}/{result}", [x, self._mask(f"{at}/{sign}", x, patch)])

    def _mask(self, at: str, x: str, patch: Patch) -> str:
        """1 where the mean over the patch is positive, else 0."""
        if patch == PIXEL:
            return self._positive(at, x)
        (h, w), (height, width) = patch, self.layer.size
        missing = (-height % h, -width % w)
        if any(missing):
            # Zeros do not change the sign of a sum.
            pads = self._constant(f"{at}/pads", np.array([0, 0, 0, 0, 0, 0, *missing], np.int64))
            x = self._node("Pad", f"{at}/pad", [x, pads], mode="constant")
        window = {"kernel_shape": [h, w], "strides": [h, w]}
        bit = self._positive(at, self._node("AveragePool", f"{at}/mean", [x], **window))
        scales = self._constant(f"{at}/scales", np.array([1, 1, h, w], np.float32))
        mask = self._node("Resize", f"{at}/mask", [bit, "", scales], **_SPREAD)
        if not any(missing):
            return mask
        starts = self._shared("starts", np.zeros(2, np.int64))
        ends = self._shared("ends", np.array([height, width], np.int64))
        axes = self._shared("axes", np.array([2, 3], np.int64))
        return self._node("Slice", f"{at}/cut", [mask, starts, ends, axes])

    def _positive(self, at: str, x: str) -> str:
        positive = self._node("Greater", f"{at}/positive", [x, self._zero()])
        return self._node("Cast", f"{at}/bit", [positive], to=TensorProto.FLOAT)

    def _zero(self) -> str:
        return self._shared("zero", np.zeros((), np.float32))

    def _node(self, op: str, at: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"{self.name}/block/{at}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def _constant(self, at: str, value: NDArray[np.int64] | NDArray[np.float32]) -> str:
        name = f"{self.name}/block/{at}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def _shared(self, at: str, value: NDArray[np.int64] | NDArray[np.float32]) -> str:
        name = f"{self.name}/block/{at}"
        exists = any(constant.name == name for constant in self.constants)
        return name if exists else self._constant(at, value)


def _replace_node(model: ModelProto, node: NodeProto, cluster: _Cluster) -> None:
    cluster.build()
    nodes = list(model.graph.node)
    index = nodes.index(node)
    nodes[index : index + 1] = cluster.nodes
    _set_nodes(model, nodes)
    model.graph.initializer.extend(cluster.constants)


def _read_by_nodes(model: ModelProto) -> set[str]:
    return {value for node in model.graph.node for value in node.input}


def _drop_initializers(model: ModelProto, names: set[str]) -> None:
    kept = [_copy(tensor) for tensor in model.graph.initializer if tensor.name not in names]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _strip(model: ModelProto, name: str, high: float | None) -> None:
    """Puts the plain node back in the place of a cluster; one that is plain stays."""
    prefix = f"{name}/block/"
    inner = {node.name: node for node in model.graph.node if node.name.startswith(prefix)}
    first = inner.get(f"{prefix}0/x")
    if first is None:
        if name in relu_nodes(model):
            return
        raise FinetuneError(
            f'the file\'s metadata gives "{name}" patches, but the file has neither its Block-ReLU '
            "nor a ReLU of this name; use the file as it was written"
        )
    inputs = [first.input[0]]
    inside = {t.name for t in model.graph.initializer if t.name.startswith(prefix)}
    _drop_initializers(model, inside)
    if high is not None:
        inputs += [f"{name}/min", f"{name}/max"]
        limits = (0.0, high)
        for value, limit in zip(inputs[1:], limits, strict=True):
            tensor = numpy_helper.from_array(np.array(limit, np.float32), value)
            model.graph.initializer.append(tensor)
    nodes = [node for node in model.graph.node if node.name not in inner]
    last = next(index for index, node in enumerate(nodes) if node_name(node) == name)
    op = "Relu" if high is None else "Clip"
    nodes[last] = helper.make_node(op, inputs, list(nodes[last].output), name=nodes[last].name)
    _set_nodes(model, nodes)


def _set_nodes(model: ModelProto, nodes: Sequence[NodeProto]) -> None:
    copies = [_copy(node) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


_Message = TypeVar("_Message", NodeProto, TensorProto)


def _copy(message: _Message) -> _Message:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
