"""Puts an assignment's Block-ReLUs in the place of a torch model's ReLUs."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from .assignment import PIXEL, Assignment, AssignmentError, Choice, LayerChoice, patch_faults
from .block_relu import BlockClip, BlockReLU, BlockSigns, Patches
from .sites import Site, canonical, module_sites, sites_of, trace


def apply_assignment(
    model: nn.Module,
    assignment: Assignment | Mapping[str, Any] | str | Path,
    example: Tensor | None = None,
) -> nn.Module:
    """Gives every ReLU that the assignment names its patches, and all others a sign per pixel.

    A name is the one ``torch.onnx.export`` gives the ReLU's node (``/layer1/layer1.0/relu/Relu``)
    or the path of a module that is called once (``layer1.0.relu``). Names that match no ReLU, or
    more than one, are reported together. With ``example``, a batch of inputs, the number of
    patches and their sizes are checked too.

    Returns ``model`` itself, changed in place, if each of the ReLUs is a module that is called
    once; else a ``torch.fx.GraphModule`` over the same parameters, since a function, or a module
    that serves several calls, has no place of its own to put patches in.
    """
    assignment = Assignment.of(assignment)
    try:
        traced = trace(model)
    except Exception as error:
        return _apply_to_modules(model, assignment, example, error)
    sites = sites_of(traced)
    by_site = _match(assignment, sites)
    if _own_modules(sites, by_site):
        _replace_modules(model, sites, by_site, example)
        return model
    new = _replacements(sites, by_site)
    _rewrite(traced, sites, new)
    if example is not None:
        _check_shapes(traced, {site.name: new[id(site.node)] for site in sites}, example)
    return traced


def apply_to_sites(
    model: nn.Module, sites: list[Site], assignment: Assignment, example: Tensor | None = None
) -> dict[str, nn.Module]:
    """Like ``apply_assignment`` where the sites are known and each is a module called once.

    Returns the new modules by the sites' names.
    """
    return _replace_modules(model, sites, _match(assignment, sites), example)


def _replace_modules(
    model: nn.Module,
    sites: list[Site],
    by_site: Mapping[str, LayerChoice],
    example: Tensor | None,
) -> dict[str, nn.Module]:
    new = _replacements(sites, by_site)
    modules = [site for site in sites if site.node.op == "call_module"]
    calls = Counter(site.node.target for site in modules)
    for site in modules:
        if calls[site.node.target] == 1:
            _put(model, str(site.node.target), new[id(site.node)])
    placed = {site.name: new[id(site.node)] for site in sites}
    if example is not None:
        _check_shapes(model, placed, example)
    return placed


def _replacements(sites: list[Site], by_site: Mapping[str, LayerChoice]) -> dict[int, nn.Module]:
    return {id(site.node): _replacement(by_site.get(site.name), site.high) for site in sites}


def relu_names(model: nn.Module) -> list[str]:
    """The names that an assignment can use, in the order in which the ReLUs are called."""
    return [site.name for site in sites_of(trace(model))]


def _match(assignment: Assignment, sites: list[Site]) -> dict[str, LayerChoice]:
    """The choice of every site that has one, by the site's name."""
    matched: dict[str, tuple[str, LayerChoice]] = {}
    faults = []
    for name, choice in assignment.items():
        found = [site for site in sites if canonical(name) in site.names()]
        exact = [site for site in found if canonical(site.name) == canonical(name)]
        candidates = exact or found
        if len(candidates) != 1:
            faults.append(_no_match(name, candidates, [site.name for site in sites]))
            continue
        site = candidates[0]
        if site.name in matched:
            faults.append(f'"{name}" and "{matched[site.name][0]}" both name {site.name}')
        faults.extend(f'"{name}": {fault}' for fault in _sign_faults(choice, site.high))
        matched[site.name] = (name, choice)
    if faults:
        raise AssignmentError(faults)
    return {site: choice for site, (_, choice) in matched.items()}


def _no_match(name: str, candidates: list[Site], known: list[str]) -> str:
    if candidates:
        meant = " or ".join(f'"{site.name}"' for site in candidates)
        return f'"{name}": {len(candidates)} ReLUs have this name; write {meant}'
    return f'"{name}": the network has no ReLU of this name{_hint(name, known)}'


def _hint(name: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        return "; did you mean " + " or ".join(f'"{candidate}"' for candidate in near) + "?"
    return "; it has " + (", ".join(known[:8]) + (" …" if len(known) > 8 else "") or "none")


def _sign_faults(choice: LayerChoice, high: float | None) -> list[str]:
    if choice.by_sign and high is None:
        return [
            '"lower" and "upper" are for clips, and this is a ReLU with one sign; give its '
            "patches alone"
        ]
    signs = {id(sign): sign for sign in (choice.lower, choice.upper) if sign is not None}
    return [f for sign in signs.values() for f in patch_faults(sign.patches, len(sign.patches))]


def _replacement(choice: LayerChoice | None, high: float | None) -> nn.Module:
    lower, upper = (
        (PIXEL, PIXEL) if choice is None else (_patches(choice.lower), _patches(choice.upper))
    )
    if high is None:
        return nn.ReLU() if lower == PIXEL else BlockReLU(lower)
    return BlockClip(lower, upper, high)


def _patches(choice: Choice | None) -> Patches:
    if choice is None:
        return PIXEL
    return choice.patches[0] if choice.every_channel else choice.patches


def _own_modules(sites: list[Site], changed: Mapping[str, LayerChoice]) -> bool:
    """Whether every site that gets patches is a module called once."""
    modules = [site.node.target for site in sites if site.node.op == "call_module"]
    once = {target for target in modules if modules.count(target) == 1}
    return all(site.node.target in once for site in sites if site.name in changed)


def _rewrite(traced: fx.GraphModule, sites: list[Site], new: Mapping[int, nn.Module]) -> None:
    for index, site in enumerate(sites):
        target = f"block_relu_{index}"
        traced.add_submodule(target, new[id(site.node)])
        with traced.graph.inserting_before(site.node):
            call = traced.graph.call_module(target, (site.node.args[0],))
        call.meta.update(site.node.meta)
        site.node.replace_all_uses_with(call)
        traced.graph.erase_node(site.node)
    traced.delete_all_unused_submodules()
    traced.recompile()


def _put(model: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)


def _apply_to_modules(
    model: nn.Module, assignment: Assignment, example: Tensor | None, why: Exception
) -> nn.Module:
    """For a model that cannot be traced: by the paths of its modules."""
    limits = module_sites(model)
    paths = {canonical(path): path for path in limits}
    placed: dict[str, nn.Module] = {}
    faults = []
    for name, choice in assignment.items():
        path = paths.get(canonical(name)) or paths.get(_module_of(name))
        if path is None:
            faults.append(f'"{name}": no module has this name{_hint(name, limits)}')
            continue
        faults.extend(f'"{name}": {fault}' for fault in _sign_faults(choice, limits[path]))
        placed[path] = _replacement(choice, limits[path])
    if faults:
        reason = str(why).splitlines()[0] if str(why) else type(why).__name__
        note = f"(the model could not be traced, so only modules have names: {reason})"
        raise AssignmentError([*faults, note])
    for path in limits:
        _put(model, path, placed.get(path) or _replacement(None, limits[path]))
    if example is not None:
        _check_shapes(model, placed, example)
    return model


def _module_of(name: str) -> str:
    """The module path in an ONNX name, canonical: ``/a/a.0/relu/Relu`` is ``a/0/relu``."""
    parts = name.strip("/").split("/")[:-1]
    kept: list[str] = []
    for part in parts:
        # A list's name comes once by itself and once before the number of its element.
        if kept and part.startswith(f"{kept[-1]}."):
            kept.pop()
        kept.append(part)
    return canonical("/".join(kept))


def _check_shapes(model: nn.Module, placed: Mapping[str, nn.Module], example: Tensor) -> None:
    """Runs the example and reports every list of patches that does not fit its map."""
    faults: list[str] = []

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def check(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            # Features of a linear layer are maps of one pixel.
            _, channels, height, width = (*inputs[0].shape, 1, 1)[:4]
            for signs in (m for m in module.children() if isinstance(m, BlockSigns)):
                patches = signs.for_channels(channels)
                for fault in patch_faults(patches, channels, (height, width)):
                    if (text := f'"{name}", {fault}') not in faults:
                        faults.append(text)

        return check

    blocks = {n: m for n, m in placed.items() if isinstance(m, BlockReLU | BlockClip)}
    for module in blocks.values():
        module.to(example.device)
    handles = [m.register_forward_pre_hook(hook(n)) for n, m in blocks.items()]
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(example)
    except Exception:
        # The first faulty list also stops the run; what was found until then says why.
        if not faults:
            raise
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    if faults:
        raise AssignmentError(faults)
