"""A torch module that is run on inputs while hooks look at what enters its layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecode.layers.network import Network
from sparsecode.layers.patches import Geometry, same_padding
from sparsecode.layers.torch.arrays import to_array, torch_library
from sparsecode.layers.torch.networks import from_torch, module_of, weights

if TYPE_CHECKING:
    from sparsecode.layers.recording import Recorder

_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@contextmanager
def runner(network: Any, recorder: Recorder, n_threads: int) -> Iterator[Callable[[Any], None]]:
    """What runs one batch, in evaluation mode; the module is as it was afterwards."""
    torch = torch_library()
    net = network if isinstance(network, Network) else from_torch(network)
    module, handles = module_of(net) if net is network else network, []
    modes = [(part, part.training) for part in module.modules()]
    threads, fast = torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled()
    try:
        names = {layer.name for layer in net.layers if recorder.wanted(layer.name)}
        seen = set()
        for name, part in weights(module):
            owner = net.tied.get(name, name)
            if owner in names and id(part) not in seen and _is_layer(part):
                seen.add(id(part))
                hook = _hook(owner, recorder)
                handles.append(part.register_forward_pre_hook(hook, with_kwargs=True))
        module.eval()
        torch.set_num_threads(n_threads)
        torch.backends.mha.set_fastpath_enabled(False)  # which goes round the modules
        with torch.no_grad():
            yield lambda batch: _run(module, batch)
    finally:
        for handle in handles:
            handle.remove()
        for part, training in modes:
            part.training = training
        torch.set_num_threads(threads)
        torch.backends.mha.set_fastpath_enabled(fast)


def _is_layer(part: Any) -> bool:
    nn = torch_library().nn
    return isinstance(part, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))


def _hook(name: str, recorder: Recorder) -> Callable[..., None]:
    nn = torch_library().nn

    def hook(part: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        X = to_array(args[0] if args else kwargs["input"])
        if isinstance(part, nn.Linear):
            recorder.rows(name, X)
        else:
            recorder.convolution(name, X, geometry_of(part, X.shape))

    return hook


def geometry_of(conv: Any, shape: tuple[int, ...]) -> Geometry:
    """How a convolution walks over inputs of this shape."""
    kernel, stride, dilation = conv.kernel_size, conv.stride, conv.dilation
    before = after = conv.padding
    if conv.padding == "same":
        before, after = same_padding(shape[-len(kernel) :], kernel, stride, dilation)
    elif conv.padding == "valid":
        before = after = (0,) * len(kernel)
    return Geometry(kernel, stride, dilation, before, after, _MODES[conv.padding_mode])


def _run(module: Any, batch: Any) -> None:
    torch = torch_library()
    like = next((p for p in module.parameters() if p.is_floating_point()), None)

    def given(array: Any) -> Any:
        tensor = array if isinstance(array, torch.Tensor) else torch.as_tensor(np.asarray(array))
        if like is None:
            return tensor
        return tensor.to(like.device, like.dtype if tensor.is_floating_point() else tensor.dtype)

    try:
        if isinstance(batch, Mapping):
            module(**{name: given(array) for name, array in batch.items()})
        else:
            module(*map(given, batch if isinstance(batch, tuple) else (batch,)))
    except (RuntimeError, TypeError, IndexError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:500]
        raise ValueError(f"the module cannot be run on these inputs: {reason}") from error
