r"""Layers fitted one after another to the teacher's outputs, on what the student gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

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
from sparsecode.layers.patterns import near_misses
from sparsecode.layers.recipe import Rule

__all__ = ["distill"]

InputsOf = Callable[[Network], Mapping[str, Any]]


class _Seen(NamedTuple):
    """Moments of what the teacher's layer and the student's see of the same samples."""

    teacher: np.ndarray  # E x_t x_t^T
    cross: np.ndarray  # E x_t x_s^T
    student: np.ndarray  # E x_s x_s^T

    def missed(self, W: np.ndarray, V: np.ndarray) -> float:
        """``E ||W x_t - V x_s||^2``."""
        whole = np.sum((W @ self.teacher) * W) - 2 * np.sum((W @ self.cross) * V)
        return float(whole + np.sum((V @ self.student) * V))


def distill(
    compressed: CompressedNetwork,
    network: Network | Mapping[str, Any],
    inputs_of: InputsOf,
    *,
    damping: float = 1e-2,
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
    inputs_of : callable
        Maps a network to the inputs of its layers by name, (n_samples, n_inputs) each, in the order
        in which the layers are computed, always of the same samples. Layers that it leaves out, and
        stacked ones, are left alone.
    damping : float, default=0.01
        As in `match_outputs` and `factorize`: positive.

    Returns
    -------
    CompressedNetwork
        No larger, layer by layer. Its report states the errors of the weights; it has no recipe,
        because its forms are not those of the original weights.

    Raises
    ------
    ValueError
        If the compressed network has no recipe, or the inputs do not fit the layers.

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
    network = as_network(network)
    damping = check_real(damping, "damping", low=0, open_low=True)
    if compressed.recipe is None:
        raise ValueError("compressed has no recipe: pass what compress gave, not a file's content")
    rules = {rule.match: rule for rule in compressed.recipe.rules}
    teacher = _checked(inputs_of(network), network)
    forms = dict(compressed.factorizations)
    for name in teacher:
        if name not in compressed.alone or rules[name].methods == ("dense",):
            continue
        student = _checked(inputs_of(replace(compressed, factorizations=forms).to_dense()), network)
        seen = _moments(teacher[name], student[name], name)
        W = check_array(network.weight(name), name).astype(np.float64)
        forms[name] = _better(W, seen, forms[name], rules[name], damping)
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
    W: np.ndarray, seen: _Seen, form: Factorization, rule: Rule, damping: float
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


def _checked(inputs: Any, network: Network) -> dict[str, np.ndarray]:
    if not isinstance(inputs, Mapping):
        raise TypeError(f"inputs_of has to give a mapping of names to arrays, got {inputs!r}")
    names = [layer.name for layer in network.layers]
    for name, X in inputs.items():
        if name not in names:
            raise ValueError(f"inputs_of names {name!r}, no layer{near_misses(name, names)}")
        width = network.layer(name).n_inputs
        if np.ndim(X) != 2 or np.shape(X)[1] != width:
            raise ValueError(
                f"the inputs of {name!r} have shape {np.shape(X)}; they have to be "
                f"(n_samples, {width})"
            )
    return {name: check_array(X, f"inputs of {name!r}") for name, X in inputs.items()}


def _moments(x_t: np.ndarray, x_s: np.ndarray, name: str) -> _Seen:
    if len(x_t) != len(x_s):
        raise ValueError(
            f"inputs_of gave {len(x_t)} samples for {name!r} and then {len(x_s)}; it has to give "
            "the same ones each time"
        )
    x_t, x_s, n = x_t.astype(np.float64), x_s.astype(np.float64), len(x_t)
    return _Seen(x_t.T @ x_t / n, x_t.T @ x_s / n, x_s.T @ x_s / n)
