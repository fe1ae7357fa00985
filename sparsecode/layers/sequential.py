r"""Layers fitted one after another to the teacher's outputs, on what the student gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sparsecode._validation import check_array, check_real
from sparsecode.layers.compressed import CompressedNetwork, with_report
from sparsecode.layers.distillation import match_outputs
from sparsecode.layers.factorizations import (
    BudgetError,
    Factorization,
    RangeError,
    factorize,
    output_error,
)
from sparsecode.layers.network import Network, as_network
from sparsecode.layers.pairs import Pair, watched
from sparsecode.layers.recipe import Rule

__all__ = ["distill"]


def distill(
    compressed: CompressedNetwork,
    network: Network | Mapping[str, Any],
    inputs: Any,
    *,
    damping: float = 1e-2,
    batch_size: int | None = None,
    max_positions: int | None = None,
    random_state: Any = None,
    n_threads: int | None = None,
) -> CompressedNetwork:
    r"""Fit each layer to the original's outputs, on the inputs that compressed layers give it.

    .. math:: \min_{V_\ell} \mathrm{E}\,\|W_\ell x_\ell - V_\ell \hat x_\ell\|_2^2

    over the forms of the family and size that the layer has already, with :math:`x_\ell` what the
    original network gives the layer and :math:`\hat x_\ell` what the compressed one does, layers
    before it fitted anew. In closed form but for the family's own fit: `match_outputs` gives the
    weights, `factorize` their form in the metric of :math:`\hat x_\ell`. A layer whose new form
    does not come nearer on these samples keeps the old one.

    Parameters
    ----------
    compressed : CompressedNetwork
        What `compress` gave, with its recipe.
    network : Network or mapping of str to array
        The original.
    inputs : array, tuple, mapping, iterable of these, or callable
        For a network that can be run, an ONNX model or one of a torch module, its inputs, as
        `calibrate` takes them: the original and the compressed network are run on them once for
        every layer. For any other, a function that maps a network to the inputs of its layers by
        name, (n_samples, n_inputs) each, in the order in which the layers are computed, always of
        the same samples. Layers that it leaves out, and stacked ones, are left alone.
    damping : float, default=0.01
        As in `match_outputs` and `factorize`: positive.
    batch_size : int, optional
        As in `calibrate`, where networks are run.
    max_positions : int, optional
        There too, the most output positions of a convolution that count in one batch; 16384 by
        default.
    random_state : int, RandomState, Generator or None, optional
        Seed of the draw of these; 0 by default.
    n_threads : int, optional
        There too, threads of onnxruntime or torch.

    Returns
    -------
    CompressedNetwork
        No larger, layer by layer. Its report states the errors of the weights; it has no recipe,
        because its forms are not those of the original weights.

    Raises
    ------
    ValueError
        If the compressed network has no recipe, or the inputs do not fit the layers or the network.
    TypeError
        If `compressed` is none, or the function gives no mapping.

    References
    ----------
    Frantar and Alistarh, "Optimal brain compression", 2022, compress layer after layer on the
    inputs of the compressed ones.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> rng = np.random.default_rng(0)
    >>> net = {"a": rng.standard_normal((20, 30)), "b": rng.standard_normal((10, 20))}
    >>> X = rng.standard_normal((500, 30))
    >>> def inputs_of(net):
    ...     return {"a": X, "b": np.maximum(X @ net["a"].T, 0)}
    >>> small = layers.compress(net, 0.7, methods="sparse")
    >>> layers.distill(small, net, inputs_of).bits <= small.bits
    True
    """
    if not isinstance(compressed, CompressedNetwork):
        raise TypeError(
            "compressed has to be a CompressedNetwork, as compress gives it, and comes first; got "
            f"{type(compressed).__name__}"
        )
    network = as_network(network)
    damping = check_real(damping, "damping", low=0, open_low=True)
    if compressed.recipe is None:
        raise ValueError("compressed has no recipe: pass what compress gave, not a file's content")
    rules = {rule.match: rule for rule in compressed.recipe.rules}
    forms = dict(compressed.factorizations)
    how = {
        "batch_size": batch_size,
        "max_positions": max_positions,
        "random_state": random_state,
        "n_threads": n_threads,
    }
    names, pair_of = watched(network, inputs, **how)
    for name in names:
        if name not in compressed.alone or rules[name].methods == ("dense",):
            continue
        student = replace(compressed, factorizations=forms).to_dense()
        W = check_array(network.weight(name), name).astype(np.float64)
        forms[name] = _better(W, pair_of(name, student), forms[name], rules[name], damping)
    fitted = replace(compressed, factorizations=forms, recipe=None)
    rows = [
        replace(
            row,
            summary=forms[row.name].summary,
            bits=forms[row.name].bits(),
            weight_error=output_error(network.weight(row.name), forms[row.name].to_dense()),
            calibration_error=None,
            heldout_error=None,
        )
        if row.name in compressed.alone
        else row
        for row in compressed.report.rows
    ]
    return with_report(fitted, tuple(rows), compressed.report.budget)


def _better(
    W: np.ndarray, seen: Pair, form: Factorization, rule: Rule, damping: float
) -> Factorization:
    """The form of the matched weights, unless the one there is comes nearer."""
    assert rule.methods is not None
    assert rule.share is not None
    target = match_outputs(W, seen.cross, seen.student, damping=damping)
    try:
        new = factorize(
            target.astype(form.dtype),
            rule.methods[0],
            budget=rule.share,
            gram=seen.student,
            damping=damping,
            **rule.options,
        )
    except (BudgetError, RangeError):
        return form
    misses = [seen.missed(W, f.to_dense().astype(np.float64)) for f in (new, form)]
    return new if misses[0] < misses[1] and new.bits().total <= form.bits().total else form
