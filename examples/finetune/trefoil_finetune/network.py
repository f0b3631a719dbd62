"""A network from an ONNX file as a torch module, and the tuned weights back into the same file.

``onnx2torch`` makes the module. Which of its tensors is which initializer is worked out once, node
by node, and checked by value; what has no counterpart is not trained. Writing copies the original
graph and sets these initializers, so that names and structure stay as they were.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, fx, nn

from .apply import apply_to_sites
from .assignment import Assignment, drelus
from .errors import FinetuneError
from .norm import NormedConv
from .sites import Site, canonical, sites_of
from .twin import insert_clusters, map_sizes, node_name, relu_nodes, strip_clusters

_CONVERTED_OPSET = 17


@dataclass(frozen=True)
class Binding:
    """One trained tensor and its place in the file."""

    module: str
    """Path of the torch module."""
    tensor: str
    """Name of its parameter or buffer."""
    node: int
    """Index of the ONNX node."""
    slot: int
    """Which input of the node."""
    transposed: bool


class Network:
    """An ONNX network: its file, its torch module, and how the two correspond."""

    def __init__(self, model: ModelProto) -> None:
        """Converts ``model``; patches that the file carries are taken out and kept aside."""
        self.plain, self.carried = strip_clusters(model)
        prepared = _prepare(self.plain)
        self.module = _convert(prepared)
        self.bindings = _bind(prepared, self.module)
        self.input_shape = _input_shape(prepared)
        gates = relu_nodes(self.plain)
        self.sizes = {
            name: size
            for name, node in gates.items()
            if (size := map_sizes(self.plain, [node.input[0]])[node.input[0]])
        }
        bound = {f"{b.module}.{b.tensor}" for b in self.bindings}
        self.frozen = [n for n, _ in self.module.named_parameters() if n not in bound]

    @classmethod
    def load(cls, path: str | Path) -> Network:
        """Reads an ONNX file."""
        try:
            model = onnx.load(str(path))
            onnx.checker.check_model(model)
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            raise FinetuneError(f"cannot read the ONNX model `{path}`: {reason}") from error
        return cls(model)

    def trainable(self) -> fx.GraphModule:
        """A copy of the module that trains what has a place in the file, and nothing else."""
        module = copy.deepcopy(self.module)
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(name not in self.frozen)
        return module

    def gates(self, module: fx.GraphModule) -> dict[str, nn.Module]:
        """The module's ReLUs, plain or with patches, by name."""
        sites = self.sites(module)
        return {site.name: module.get_submodule(str(site.node.target)) for site in sites}

    def assign(self, module: fx.GraphModule, assignment: Assignment) -> None:
        """Gives the module's ReLUs these patches."""
        example = torch.zeros(1, *self.input_shape, device=device_of(module))
        apply_to_sites(module, self.sites(module), assignment, example)
        module.to(example.device)

    def sites(self, module: fx.GraphModule) -> list[Site]:
        """The ReLUs of the module under the names of their ONNX nodes."""
        by_target = {canonical(node_name(n)): name for name, n in relu_nodes(self.plain).items()}
        sites = sites_of(module)
        for site in sites:
            # The converter numbers nodes without a name; their output names them in the file.
            site.name = by_target.get(str(site.node.target), site.name)
            site.aliases.clear()
        return sites

    def drelu_share(self, assignment: Assignment) -> float:
        """The part of the network's signs at 1x1 that the assignment keeps."""
        kept, all_signs = 0, 0
        clips = {n for n, node in relu_nodes(self.plain).items() if node.op_type == "Clip"}
        for name, (channels, height, width) in self.sizes.items():
            signs = 2 if name in clips else 1
            all_signs += signs * channels * height * width
            choice = assignment.get(name)
            for sign in [] if choice is None else [choice.lower, choice.upper][:signs]:
                patches = ((1, 1),) * channels if sign is None else sign.for_channels(channels)
                kept += drelus(patches, height, width)
            if choice is None:
                kept += signs * channels * height * width
        return kept / max(all_signs, 1)

    def tuned(self, module: nn.Module) -> ModelProto:
        """The file's plain graph with the weights of ``module``."""
        result = ModelProto()
        result.CopyFrom(self.plain)
        for binding in self.bindings:
            value = _tensor_of(module, binding).detach().cpu().float()
            _set_input(
                result,
                binding.node,
                binding.slot,
                (value.T if binding.transposed else value).numpy(),
            )
        return result

    def write(
        self, module: nn.Module, assignment: Assignment, path: str | Path, plain: bool = False
    ) -> ModelProto:
        """Writes the tuned network, with Block-ReLUs unless ``plain``; returns what it wrote."""
        model = self.tuned(module)
        if not plain:
            model = insert_clusters(model, assignment)
        onnx.checker.check_model(model)
        partial = Path(f"{path}.partial")
        onnx.save(model, str(partial))
        partial.replace(path)
        return model


def device_of(module: nn.Module) -> torch.device:
    """The device of the module's parameters."""
    return next(module.parameters(), torch.empty(0)).device


def _convert(model: ModelProto) -> fx.GraphModule:
    # onnx2torch is slow to import, and users of BlockReLU alone do not need it.
    from onnx2torch import convert

    # Its operators index with lists, of which newer torch versions warn at every call.
    warnings.filterwarnings("ignore", module="onnx2torch")
    try:
        module = convert(model)
    except Exception as error:
        raise FinetuneError(
            f"onnx2torch cannot convert the model: {str(error).strip() or type(error).__name__}. "
            "Export it with torch.onnx.export at opset 13 to 17, or tune the torch model itself "
            "with trefoil_finetune.apply_assignment and export that"
        ) from error
    for part in module.modules():
        if type(part).__name__ == "OnnxResize":
            # A size that names the batch of the export would refuse every other batch.
            part.ignore_bs_ch_size = True
    result: fx.GraphModule = module
    return result


def _prepare(model: ModelProto) -> ModelProto:
    """A copy for the converter: same function, same node order, forms that it knows."""
    result = ModelProto()
    result.CopyFrom(model)
    tensors = {tensor.name: tensor for tensor in result.graph.initializer}
    for node in result.graph.node:
        if not node.name:
            node.name = node.output[0]
        if node.op_type == "Identity" and node.input[0] in tensors:
            alias = TensorProto()
            alias.CopyFrom(tensors[node.input[0]])
            alias.name = node.output[0]
            tensors[alias.name] = alias
            node.output[0] += "/unused"
            result.graph.initializer.append(alias)
    _lower_opset(result, tensors)
    _free_batch(result, tensors)
    return result


def _lower_opset(model: ModelProto, tensors: dict[str, TensorProto]) -> None:
    """States newer operators, where only their form changed, as the converter knows them."""
    version = next(o for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if version.version <= _CONVERTED_OPSET:
        return
    for node in model.graph.node:
        if node.op_type == "Pad" and len(node.input) > 3 and node.input[3]:
            raise FinetuneError(
                f"`{node.name}` is a Pad with axes, which onnx2torch does not know; export the "
                f"model with opset {_CONVERTED_OPSET}"
            )
        if node.op_type.startswith("Reduce") and len(node.input) > 1 and node.input[1] in tensors:
            axes = numpy_helper.to_array(tensors[node.input[1]]).tolist()
            if node.op_type != "ReduceSum":
                del node.input[1]
                node.attribute.append(helper.make_attribute("axes", axes))
    version.version = _CONVERTED_OPSET


def _free_batch(model: ModelProto, tensors: dict[str, TensorProto]) -> None:
    """Lets a graph that was exported for one image take a batch."""
    shape = model.graph.input[0].type.tensor_type.shape
    if len(shape.dim) == 0 or shape.dim[0].dim_value != 1:
        return
    for node in model.graph.node:
        if node.op_type == "Reshape" and node.input[1] in tensors:
            target = numpy_helper.to_array(tensors[node.input[1]]).copy()
            if 0 not in target:
                kept = [a for a in node.attribute if a.name != "allowzero"]
                del node.attribute[:]
                node.attribute.extend(kept)
            if target.size > 1 and target[0] == 1:
                target[0] = -1 if -1 not in target else 0
                name = f"{node.name}/free_batch"
                model.graph.initializer.append(numpy_helper.from_array(target, name))
                node.input[1] = name


def _input_shape(model: ModelProto) -> tuple[int, int, int]:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    dims = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim] if inputs else []
    if len(inputs) != 1 or len(dims) != 4 or not all(dims[1:]):
        raise FinetuneError(
            "the model must have one input of shape [N, C, H, W] with fixed C, H and W; "
            f"it has {[value.name for value in inputs]} with {dims}"
        )
    return dims[1], dims[2], dims[3]


_SLOTS: dict[type[nn.Module], dict[str, int]] = {
    nn.Conv2d: {"weight": 1, "bias": 2},
    nn.ConvTranspose2d: {"weight": 1, "bias": 2},
    nn.Linear: {"weight": 1, "bias": 2},
    nn.BatchNorm2d: {"weight": 1, "bias": 2, "running_mean": 3, "running_var": 4},
}


def _bind(model: ModelProto, module: fx.GraphModule) -> list[Binding]:
    """Pairs tensors and initializers, dropping pairs whose values differ."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    paths = {canonical(node.name): index for index, node in enumerate(model.graph.node)}
    bindings = []
    for path, part in module.named_modules():
        owner = path if path in paths else path.rpartition(".")[0]
        index = paths.get(owner)
        if index is None:
            continue
        node = model.graph.node[index]
        for tensor, slot in _SLOTS.get(type(part), {}).items():
            binding = _binding(node, index, slot, tensors, path, part, tensor)
            if binding is not None:
                bindings.append(binding)
    return bindings


def _binding(
    node: NodeProto,
    index: int,
    slot: int,
    tensors: dict[str, TensorProto],
    path: str,
    part: nn.Module,
    tensor: str,
) -> Binding | None:
    value: Tensor | None = getattr(part, tensor)
    name = node.input[slot] if len(node.input) > slot else ""
    if value is None or name not in tensors:
        return None
    stored = torch.from_numpy(numpy_helper.to_array(tensors[name]).copy())
    for transposed in (False, True):
        if torch.equal(stored.T if transposed and stored.dim() == 2 else stored, value.detach()):
            return Binding(path, tensor, index, slot, transposed)
    return None


def _tensor_of(module: nn.Module, binding: Binding) -> Tensor:
    part = module.get_submodule(binding.module)
    if isinstance(part, NormedConv):
        weight, bias = part.folded()
        return weight if binding.tensor == "weight" else bias
    value = getattr(part, binding.tensor)
    assert isinstance(value, Tensor)
    return value


def _set_input(model: ModelProto, index: int, slot: int, value: NDArray[np.float32]) -> None:
    """Sets a node's constant input; one that others read too becomes the node's own."""
    node = model.graph.node[index]
    name = node.input[slot]
    readers = sum(list(other.input).count(name) for other in model.graph.node)
    stored = next((t for t in model.graph.initializer if t.name == name), None)
    tensor = numpy_helper.from_array(np.ascontiguousarray(value), name)
    if stored is not None and readers == 1:
        stored.CopyFrom(tensor)
        return
    tensor.name = f"{node_name(node)}/{slot}"
    node.input[slot] = tensor.name
    model.graph.initializer.append(tensor)
