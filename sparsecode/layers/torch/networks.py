"""Networks from modules of torch, and modules with compressed layers."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sparsecode.layers.compressed import CompressedNetwork
from sparsecode.layers.factored import check_factored
from sparsecode.layers.factorizations import Dense, Factorization
from sparsecode.layers.formats import same_bits
from sparsecode.layers.layout import FLOATING, Layout, Stored
from sparsecode.layers.network import Network
from sparsecode.layers.torch.arrays import place_of, to_array, to_tensor, torch_library

__all__ = ["from_torch", "to_torch"]


def from_torch(module: Any) -> Network:
    """Return the tensors of a torch module, or of a state dict, as a network.

    The arrays are the tensors' own memory where that is the computer's. The layers of a module are
    the weights of its `Linear` and ungrouped `Conv1d`, `Conv2d` and `Conv3d` modules; tensors that
    share their memory are tied and go by their first name. A state dict does not say which of its
    tensors are layers: they are found by their shape.

    Needs the extra: ``pip install sparsecode[torch]``.

    Parameters
    ----------
    module : torch.nn.Module or mapping of str to torch.Tensor
        What to read. It is not changed.

    Returns
    -------
    Network
        Under the names of the state dict. That of a module remembers it, for `calibrate`.

    Raises
    ------
    ValueError
        A tensor cannot be seen as a NumPy array.
    TypeError
        It is neither a module nor a mapping.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> net = layers.from_torch(torch.nn.Linear(64, 32))  # doctest: +SKIP
    >>> net.layers[0].shape  # doctest: +SKIP
    (32, 64)
    """
    torch = torch_library()
    is_module = isinstance(module, torch.nn.Module)
    if not is_module and not isinstance(module, Mapping):
        raise TypeError(
            f"module has to be a torch.nn.Module or a state dict, got {type(module).__name__}"
        )
    arrays: dict[Any, np.ndarray] = {}  # once each, however many names a tensor has
    tensors = {}
    for name, tensor in (module.state_dict() if is_module else module).items():
        array = to_array(tensor, str(name))
        tensors[name] = arrays.setdefault(place_of(tensor), array) if array.size else array
    if not is_module:
        return Network(tensors)
    return Network(tensors, layout=_layout(module, tensors), module=module)


def module_of(network: Network) -> Any:
    """The module of a network, or a copy with the network's tensors where they are others."""
    module = network.module
    state = module.state_dict()
    if all(same_bits(to_array(tensor, name), network[name]) for name, tensor in state.items()):
        return module
    return _loaded(module, network)


def _loaded(module: Any, network: Network) -> Any:
    made = copy.deepcopy(module)
    made.load_state_dict({name: to_tensor(array) for name, array in network.items()}, strict=True)
    return made


def weights(module: Any) -> Iterator[tuple[str, Any]]:
    """The submodules that have a weight of their own, by the weight's name in the state dict."""
    for prefix, part in module.named_modules(remove_duplicate=False):
        if "weight" in part._parameters and part._parameters["weight"] is not None:
            yield f"{prefix}.weight" if prefix else "weight", part


def _layout(module: Any, tensors: Mapping[str, np.ndarray]) -> Layout:
    nn = torch_library().nn
    first: dict[int, str] = {}
    owners = {name: first.setdefault(id(array), name) for name, array in tensors.items()}
    declared: dict[str, Stored] = {}
    left_alone: dict[str, str] = {}
    for name, part in weights(module):
        if name not in owners or tensors[name].ndim < 2:
            continue
        if isinstance(part, nn.Linear):
            declared[owners[name]] = Stored()
        elif isinstance(part, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and part.groups == 1:
            declared[owners[name]] = Stored(False, tuple(part.weight.shape[2:]))
        elif isinstance(part, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            left_alone[owners[name]] = f"a convolution in {part.groups} groups"
        else:
            left_alone[owners[name]] = f"the weight of a module {type(part).__name__}"
    for name, array in tensors.items():
        if array.ndim > 1 and array.dtype.name in FLOATING:
            left_alone.setdefault(owners[name], "no weight of a linear layer or a convolution")
    reasons = {name: why for name, why in left_alone.items() if name not in declared}
    return Layout(declared=declared, left_alone=reasons)


def to_torch(compressed: CompressedNetwork, module: Any, *, factored: bool | str = True) -> Any:
    """Return a copy of a torch module with compressed layers.

    Parameters
    ----------
    compressed : CompressedNetwork
        With the names of the module's state dict, as of `from_torch(module)`.
    module : torch.nn.Module
        The original, which is not changed.
    factored : bool or "all", default=True
        Put modules that compute with the factors in the place of `Linear` and convolutions where
        that is less work than the dense layer: two for low rank and for a dictionary (a convolution
        and one of kernel 1), three for Tucker, and so on. Any other form that takes fewer bits than
        the dense layer becomes a module that keeps it packed and unpacks it as it is used. "all"
        takes no notice of the work: low rank and sparse are two paths then, whose outputs add.
        Layers of other classes, even derived ones, and those whose weight is also something else's
        stay dense. False loads dense weights into the same classes.

    Returns
    -------
    torch.nn.Module
        Tied layers are tied. Without factors its state dict is one that the original loads.

    Raises
    ------
    ValueError
        Names, shapes or dtypes are not those of the module.
    TypeError
        `module` is no module.

    Examples
    --------
    >>> small = layers.compress(layers.from_torch(module), 0.25)  # doctest: +SKIP
    >>> layers.to_torch(small, module)  # doctest: +SKIP
    """
    if not isinstance(compressed, CompressedNetwork):
        raise TypeError(
            f"compressed has to be a CompressedNetwork, got {type(compressed).__name__}"
        )
    torch = torch_library()
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module has to be a torch.nn.Module, got {type(module).__name__}")
    check_factored(factored)
    state, dense = module.state_dict(), compressed.to_dense()
    if odd := sorted(state.keys() ^ set(dense)):
        raise ValueError(f"only one of the network and the module has a tensor {odd[0]!r}")
    for name, tensor in state.items():
        found, given = to_array(tensor, name), dense[name]
        if (found.shape, found.dtype) != (given.shape, given.dtype):
            raise ValueError(
                f"{name!r} is {given.dtype} of shape {given.shape} in the network and "
                f"{found.dtype} of shape {found.shape} in the module"
            )
    made = _loaded(module, dense)
    if not factored:
        return made
    return _with_factors(made, compressed, everywhere=factored == "all")


def _with_factors(module: Any, compressed: CompressedNetwork, *, everywhere: bool) -> Any:
    from sparsecode.layers.torch._modules import LAYERS, Replacer

    replacer, made = Replacer(everywhere=everywhere), {}
    forms = _replaceable(module, compressed, LAYERS)
    for name, old in list(weights(module)):
        owner = compressed.tied.get(name, name)
        if owner not in forms:
            continue
        if id(old) not in made:
            new = replacer.module(owner, forms[owner], old)
            made[id(old)] = old if new is None else new.train(old.training), old
        prefix = name.removesuffix("weight").removesuffix(".")
        if not prefix:
            return made[id(old)][0]
        parent, _, child = prefix.rpartition(".")
        setattr(module.get_submodule(parent), child, made[id(old)][0])
    return module


def _replaceable(
    module: Any, compressed: CompressedNetwork, kinds: tuple[type, ...]
) -> dict[str, Factorization]:
    """Forms of layers all of whose names are weights of modules of just these classes."""
    plain = {name for name, part in weights(module) if type(part) in kinds and name}
    forms = {}
    for owner, form in compressed.alone.items():
        names = [owner, *(name for name, other in compressed.tied.items() if other == owner)]
        if not isinstance(form, Dense) and plain.issuperset(names):
            forms[owner] = form
    return forms
