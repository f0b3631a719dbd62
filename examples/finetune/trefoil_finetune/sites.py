"""Finds the ReLUs of a torch model and the names that an ONNX export gives them.

The model is traced with ``torch.fx``. Of every ReLU, be it a module or a function, the tracer
knows the stack of modules around the call; ``torch.onnx.export`` makes its node names of the same
stack: ``/layer1/layer1.0/relu_1/Relu`` is the second call of the module ``layer1.0.relu``,
``/layer1/layer1.0/Relu`` a function called in ``layer1.0``.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from .block_relu import BlockClip, BlockReLU


@dataclass
class Site:
    """One ReLU or clip of a traced model."""

    name: str
    """The name of its node in an ONNX export."""
    node: fx.Node
    """Its call in the trace."""
    high: float | None
    """The upper limit of a clip."""
    aliases: set[str] = field(default_factory=set)
    """Other names that mean it."""

    def names(self) -> set[str]:
        """Every name that means it, in the form in which names are compared."""
        return {canonical(name) for name in {self.name, *self.aliases}}


def canonical(name: str) -> str:
    """ONNX names as torch can hold them: a module's name has no dot and no leading slash."""
    return name.lstrip("/").replace(".", "/")


def trace(model: nn.Module) -> fx.GraphModule:
    """The model as a graph that shares its parameters; raises whatever ``torch.fx`` raises."""
    tracer = _Tracer()
    graph = tracer.trace(model)
    return fx.GraphModule(model, graph, type(model).__name__)


def sites_of(traced: fx.GraphModule) -> list[Site]:
    """The ReLUs and clips of a traced model in the order in which they are called."""
    limits = [(node, _upper_limit(traced, node)) for node in traced.graph.nodes]
    gates = [(node, high) for node, high in limits if high is not _NOT_A_GATE]
    calls = Counter(node.target for node, _ in gates if node.op == "call_module")
    taken: Counter[str] = Counter()
    relus = 0
    sites = []
    for node, high in gates:
        base = f"{_scope(node)}/{'Relu' if high is None else 'Clip'}"
        name = base if not taken[base] else f"{base}_{taken[base]}"
        taken[base] += 1
        site = Site(name, node, high)
        if node.op == "call_module":
            site.aliases.add(str(node.target))
            if calls[node.target] > 1:
                site.aliases.add(f"{node.target}.{name.split('/')[-2]}")
        if high is None:
            site.aliases.add(f"node_relu_{relus}" if relus else "node_relu")
            relus += 1
        sites.append(site)
    return sites


def module_sites(model: nn.Module) -> dict[str, float | None]:
    """Paths of the modules that are ReLUs or clips, with the upper limit: for want of a trace."""
    limits = {path: _module_limit(module) for path, module in model.named_modules()}
    return {path: high for path, high in limits.items() if high is not _NOT_A_GATE}


class _Tracer(fx.Tracer):
    """Takes Block-ReLUs and the converter's operators as they are."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        own = isinstance(m, BlockReLU | BlockClip)
        converted = type(m).__module__.startswith("onnx2torch")
        return own or converted or super().is_leaf_module(m, module_qualified_name)


def _scope(node: fx.Node) -> str:
    """The exporter's name of the innermost call around a node."""
    stack: dict[str, tuple[str, Any]] = node.meta.get("nn_module_stack", {})
    parts = [_own_part(path) for path, _ in stack.values()]
    if not parts:
        return ""
    _, _, call = next(reversed(stack)).partition("@")
    return "/" + "/".join(parts) + (f"_{call}" if call else "")


def _own_part(path: str) -> str:
    """The last part of a module's path, with its list's name where it is only a number."""
    parts = path.split(".")
    named = [index for index, part in enumerate(parts) if not part.isdigit()]
    return ".".join(parts[named[-1] if named else 0 :])


class _NotAGate(float):
    """Marks what is no ReLU; a type of its own so that no limit equals it."""


_NOT_A_GATE = _NotAGate("nan")

_RELU_FUNCTIONS: set[Callable[..., Any]] = {
    functional.relu,
    functional.relu_,
    torch.relu,
    torch.relu_,
}
_CLAMP_FUNCTIONS: set[Callable[..., Any]] = {torch.clamp, torch.clip, functional.hardtanh}


def _upper_limit(traced: fx.GraphModule, node: fx.Node) -> float | None:
    """``None`` for a ReLU, the upper limit for a clip, ``_NOT_A_GATE`` for anything else."""
    if node.op == "call_module":
        return _module_limit(traced.get_submodule(str(node.target)))
    if node.op == "call_function":
        if node.target in _RELU_FUNCTIONS:
            return None
        if node.target is functional.relu6:
            return 6.0
        return _clamp_limit(node) if node.target in _CLAMP_FUNCTIONS else _NOT_A_GATE
    if node.op == "call_method":
        if node.target in ("relu", "relu_"):
            return None
        return _clamp_limit(node) if node.target in ("clamp", "clip", "clamp_") else _NOT_A_GATE
    return _NOT_A_GATE


def _module_limit(module: nn.Module) -> float | None:
    if isinstance(module, nn.ReLU | BlockReLU):
        return None
    if isinstance(module, BlockClip):
        return module.high
    if isinstance(module, nn.Hardtanh):  # nn.ReLU6 is one
        return _limit(module.min_val, module.max_val)
    if type(module).__name__ == "OnnxClip":
        return _limit(module.min_val, module.max_val)
    return _NOT_A_GATE


def _clamp_limit(node: fx.Node) -> float | None:
    is_hardtanh = node.target is functional.hardtanh
    low_key, high_key = ("min_val", "max_val") if is_hardtanh else ("min", "max")
    default: tuple[Any, Any] = (-1.0, 1.0) if is_hardtanh else (None, None)
    given = [*node.args[1:3], *default[len(node.args) - 1 :]]
    low = node.kwargs.get(low_key, given[0])
    high = node.kwargs.get(high_key, given[1])
    return _limit(low, high)


def _limit(low: Any, high: Any) -> float | None:
    if not isinstance(low, int | float) or low != 0:
        return _NOT_A_GATE
    if high is None:
        return None
    try:
        return float(operator.pos(high))
    except TypeError:
        return _NOT_A_GATE
