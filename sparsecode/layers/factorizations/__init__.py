"""The families of factorizations: one file each, the same laws.

To add one: a file with a `Factorization` and a function that fits it to a number of bits, and one
line in `FAMILIES`. The tests run over that table.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from sparsecode._scaling import magnitude, to_units, unit_of
from sparsecode._threads import single_threaded_blas
from sparsecode._validation import (
    check_array,
    check_int,
    check_option,
    check_unused,
    no_second_moment,
)
from sparsecode.layers.factorizations._base import (
    FLOATING,
    Arrays,
    Bits,
    BudgetError,
    Factorization,
    Meta,
    RangeError,
    all_finite,
    checked_shape,
    computing_dtype,
    second_moment,
)
from sparsecode.layers.factorizations._damped import DAMPING, Damped, Moment
from sparsecode.layers.factorizations._refit import refit
from sparsecode.layers.factorizations.codebook import Codebook, fit_codebook
from sparsecode.layers.factorizations.composite import (
    DEEPEST,
    Chain,
    Composite,
    Sum,
    unpack_parts,
)
from sparsecode.layers.factorizations.convolution import Spatial, Tucker
from sparsecode.layers.factorizations.dense import Dense, fit_dense
from sparsecode.layers.factorizations.dictionary import Dictionary, fit_dictionary
from sparsecode.layers.factorizations.low_rank import LowRank, fit_low_rank, fit_ranks
from sparsecode.layers.factorizations.low_rank_plus_sparse import (
    LowRankPlusSparse,
    fit_low_rank_plus_sparse,
)
from sparsecode.layers.factorizations.sparse import Sparse, fit_sparse
from sparsecode.layers.factorizations.uniform import Uniform, fit_uniform
from sparsecode.layers.formats import DEFAULT_MAX_BYTES
from sparsecode.layers.sizes import share_of

__all__ = [
    "FAMILIES",
    "Bits",
    "BudgetError",
    "Chain",
    "Codebook",
    "Dense",
    "Dictionary",
    "Factorization",
    "LowRank",
    "LowRankPlusSparse",
    "RangeError",
    "Sparse",
    "Spatial",
    "Sum",
    "Tucker",
    "Uniform",
    "factorize",
    "output_error",
    "refit",
    "unpack",
]

LARGE = 2**20 + 1  # entries: of memory, and of what BLAS threads are worth


class Family(NamedTuple):
    """A kind of factorization, and ``fit(W, gram, budget_in_bits, dtype, **options)``.

    A fit may overwrite `gram`; one that makes do with `products` gets it `Damped`, where that needs
    no other precision. Where the shape is one for which it is `narrow`, it does with the precision
    of the layer; else it gets both matrices in float64. `rough` are options of a fit that
    is good enough to choose among families and sizes, and `rougher` more of them, where `options`
    allow them, for a large layer. Some rows of that stand for all where rows are `apart`, and
    `series` makes many fits, and the bits of the layer, of one decomposition, maybe of some rows.
    `draws` tells of options whether a fit with them takes a `random_state`. `variants` are the
    options that a search tries; of a family that is `costly`, at few sizes, the one that did best
    for the others.
    """

    form: type[Factorization]
    fit: Callable[..., Factorization]
    narrow: Callable[[tuple[int, int]], bool] = lambda shape: False
    products: bool = False
    rough: Mapping[str, Any] = MappingProxyType({})
    rougher: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda options: {}
    apart: bool = False
    series: Callable[..., Iterator[Callable[[], tuple[Factorization, int]]]] | None = None
    variants: tuple[Mapping[str, Any], ...] = (MappingProxyType({}),)
    costly: bool = False
    draws: Callable[[Mapping[str, Any]], bool] = lambda options: False

    def precision(self, dtype: np.dtype, shape: tuple[int, int]) -> np.dtype:
        """In which a layer of this dtype and shape is fitted."""
        return computing_dtype(dtype) if self.narrow(shape) else np.dtype(np.float64)

    def moment(self, gram: Damped | None, precision: np.dtype) -> Moment | None:
        """As the fit takes it."""
        if gram is None or (self.products and gram.dtype == precision):
            return gram
        return np.asarray(gram, dtype=precision)


def _wide(shape: tuple[int, int]) -> bool:
    """Large and wide: in float64 a moment is then larger than all else."""
    return shape[0] < shape[1] and shape[0] * shape[1] >= LARGE


VALUE_BITS: tuple[Mapping[str, Any], ...] = ({}, *({"value_bits": bits} for bits in (8, 6, 4, 3)))

FAMILIES: dict[str, Family] = {
    family.form.kind: family
    for family in (
        Family(Dense, fit_dense),
        Family(LowRank, fit_low_rank, narrow=_wide, series=fit_ranks, variants=VALUE_BITS),
        Family(
            Sparse,
            fit_sparse,
            narrow=lambda shape: True,
            products=True,
            rougher=lambda options: {} if options.get("refit") is False else {"refit_tol": 0.05},
            apart=True,
            variants=VALUE_BITS,
            draws=lambda options: options.get("criterion") == "random",
        ),
        Family(
            LowRankPlusSparse,
            fit_low_rank_plus_sparse,
            rough={"n_rounds": 3},
            rougher=lambda options: {"n_rounds": 1, "refit_tol": 0.05},
            variants=VALUE_BITS,
            costly=True,
        ),
        Family(
            Dictionary,
            fit_dictionary,
            narrow=_wide,
            products=True,
            draws=lambda options: options.get("learning") != "orthogonal",
            rough={"n_rounds": 5},
            rougher=lambda options: {} if "learning" in options else {"learning": "orthogonal"},
            variants=VALUE_BITS,
            costly=True,
        ),
        Family(
            Codebook,
            fit_codebook,
            narrow=lambda shape: True,
            apart=True,
            draws=lambda options: options.get("subvector", 1) > 1,
        ),
        Family(Uniform, fit_uniform, narrow=lambda shape: True, apart=True),
    )
}

# All that `unpack` knows: the families, the forms of convolutions that come of `low_rank`, and what
# is made of several forms.
FORMS: dict[str, type[Factorization]] = {name: family.form for name, family in FAMILIES.items()} | {
    form.kind: form for form in (Spatial, Tucker, Sum, Chain)
}


def factorize(
    W: Any,
    method: str,
    *,
    budget: float | str,
    gram: Any = None,
    damping: float | None = None,
    **options: Any,
) -> Factorization:
    r"""Replace one layer by a structure that takes a fraction of its bits.

    .. math:: \min_{W'} \mathrm{tr}\bigl((W - W')\, H\, (W - W')^T\bigr)
              \quad \text{s.t.} \quad \mathrm{bits}(W') \le \mathrm{budget} \cdot \mathrm{bits}(W)

    Parameters
    ----------
    W : array of shape (n_outputs, n_inputs)
        The weights: float16, bfloat16, float32 or float64. The factors are stored in this dtype.
    method : str
        The family: "dense", "low_rank", "sparse", "low_rank+sparse", "dictionary", "codebook" or
        "uniform".
    budget : float or str
        The fraction of the layer's bits, in (0, 1], or a size such as ``"24 kB"``.
    gram : array of shape (n_inputs, n_inputs), optional
        Second moment :math:`H` of the layer's inputs, singular or not, at any scale. None means
        the identity: the error is then that of the weights.
    damping : float, optional
        Added to the diagonal of `gram`, as a fraction of its mean: it keeps the fit from leaning
        on directions that the calibration inputs hardly show. 0.01 by default; 0 is the exact
        metric.
    **options
        Of the family; those that are not given are chosen.

        `low_rank`: `metric` ("full", "diagonal", "plain"); `form` ("matrix", "spatial",
        "tucker"), the latter two of a convolution with `kernel_shape` (channels, height, width).

        `sparse`: `criterion`, cheapest first "random", "magnitude", "wanda", "obs" (SparseGPT) or
        "alps"; `pattern` ("unstructured", "n:m", "rows", "columns", "blocks"), with `keep` entries
        of every `of` along a row, or `block_shape`; `threshold`, one for the "matrix" or one a
        "row"; `n_stages`, in which the density falls with refits in between; `refit`, whether the
        weights are the best on their support, and `refit_tol`, how nearly, as `tol` of
        `layers.refit`; `random_state`. With `gram` it is "wanda" and the refit: one pass over the
        layer and the refit. "alps" is the best, and takes the eigenvalues of `gram`.

        `low_rank+sparse`: `low_rank_share` of the bits; `n_rounds`; `metric`, "diagonal" for OATS
        as it is, "full" for rounds in the metric of the outputs that start from there; `start`,
        "oats" or "robust_pca"; `refit_tol`, of the sparse part.

        `dictionary`: `atoms_per_nonzero`; `learning` ("ksvd", "mod", "orthogonal", "lasso");
        `n_rounds`; `random_state`.

        `uniform`: `bits`, `group_size`, `symmetric` and `rounding`. `codebook`: `bits`,
        `subvector`, `rows_per_codebook`, `rounding`, `n_rounds` and `random_state`.

        All but `uniform` and `dense`: `value_bits`, 1 to 8 or 16 bits, or "float16" or "bfloat16",
        for each of the numbers inside the form (of a codebook, its centroids). 16 is float16, or
        the layer's own dtype where that has as many; `bits` of `uniform` knows these names too.

    Returns
    -------
    Factorization
        With `to_dense()`, `apply(X)`, `bits()` and `pack()`.

    Raises
    ------
    ValueError
        If the layer or `gram` is not what it should be, an option is unknown, or the budget is too
        small for the family (`BudgetError`), or the answer has entries that the layer's dtype
        cannot hold (`RangeError`).

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> W = np.random.default_rng(0).standard_normal((16, 64)).astype(np.float32)
    >>> f = layers.factorize(W, "low_rank", budget=0.25)
    >>> f.rank, f.bits().total <= 0.25 * 8 * W.nbytes
    (3, True)
    """
    check_option(method, "method", FAMILIES)
    check_options(method, options)
    family = FAMILIES[method]
    dense, dtype = check_array(W, "W"), layer_dtype(W)
    n_bytes = dense.size * dtype.itemsize
    available = int(share_of(budget, n_bytes) * 8 * n_bytes)
    if gram is None:
        check_unused("factorize without gram", damping=damping)
    precision = family.precision(dtype, dense.shape)
    damping = DAMPING if damping is None else damping
    metric = family.moment(Damped.of(gram, dense.shape[1], damping), precision)
    # On small matrices BLAS threads cost more time than they save, the more so on a busy machine.
    with single_threaded_blas() if dense.size < LARGE else nullcontext():
        form = family.fit(dense.astype(precision, copy=False), metric, available, dtype, **options)
    del dense, metric  # what they take is for the copies below
    with np.errstate(over="ignore"):
        if not all_finite(form.to_dense()):
            raise RangeError(f"the {method} form of this layer exceeds the range of {dtype}")
    return form


def check_options(method: str, options: Mapping[str, Any]) -> None:
    """Options that the family does not have are an error."""
    known = list(inspect.signature(FAMILIES[method].fit).parameters)[4:]
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(
            f"method={method!r} has no option {unknown[0]!r}; it has {', '.join(known) or 'none'}"
        )


def layer_dtype(W: Any) -> np.dtype:
    """The dtype a layer's factors are stored in: its own, if it is a floating one."""
    dtype = np.asarray(W).dtype
    if dtype.name in FLOATING:
        return dtype.newbyteorder("=")
    return np.dtype(np.float64)


def output_error(W: Any, approximation: Any, gram: Any = None) -> float:
    r"""The squared error of a layer's outputs, relative to the outputs.

    .. math:: \frac{\mathrm{tr}\bigl((W - W')\, H\, (W - W')^T\bigr)}{\mathrm{tr}(W H W^T)}

    Parameters
    ----------
    W, approximation : array of shape (n_outputs, n_inputs)
        The weights and what stands for them, which a Factorization does too.
    gram : array of shape (n_inputs, n_inputs), optional
        Second moment :math:`H` of the inputs; None means the identity: the error of the weights.

    Returns
    -------
    float
        0 for an exact copy, 1 for a layer of zeros; infinite if only the original is zero.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.layers import output_error
    >>> output_error(np.diag([1.0, 2.0]), np.diag([1.0, 0.0]))
    0.8
    """
    if isinstance(approximation, Factorization):
        approximation = approximation.to_dense()
    W, V = check_array(W, "W"), check_array(approximation, "approximation")
    if V.shape != W.shape:
        raise ValueError(f"approximation has shape {V.shape}; W has {W.shape}")
    metric = None if gram is None else second_moment(gram, W.shape[1])
    if metric is not None and not metric.any():
        return 0.0  # inputs that are all zero: so are the outputs, whatever the weights
    return lost_part(W, V, metric)


def lost_part(W: np.ndarray, V: np.ndarray, metric: np.ndarray | None) -> float:
    """`output_error` of arrays that fit, in a moment in units."""
    unit = unit_of(max(magnitude(W), magnitude(V)), np.float64)
    lost = whole = 0.0
    step = max(64, 2**16 // W.shape[1])
    for start in range(0, len(W), step):  # a few rows at a time in float64
        rows = to_units(W[start : start + step].astype(np.float64), unit)
        miss = rows - to_units(V[start : start + step].astype(np.float64), unit)
        lost += _square(miss, metric)
        whole += _square(rows, metric)
    if whole <= 0:
        return 0.0 if lost <= 0 else float("inf")
    return max(lost, 0.0) / whole


def _square(rows: np.ndarray, metric: np.ndarray | None) -> float:
    """``tr(R H R^T)`` of rows, none of which is of a negative one but for rounding."""
    if metric is None:
        return float(np.sum(rows * rows))
    parts = rows * (rows @ metric)
    least = -1e-6 * np.trace(metric) * np.einsum("ij,ij->i", rows, rows)
    if np.any(parts.sum(axis=1) < least - np.finfo(np.float64).tiny):
        raise no_second_moment()
    return float(np.sum(parts))


def unpack(
    arrays: Mapping[str, np.ndarray],
    meta: Mapping[str, Any],
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Factorization:
    """The factorization that ``pack()`` gave as named arrays and a description.

    Parameters
    ----------
    arrays : mapping of str to array
        The packed arrays.
    meta : mapping
        The description, as it was or as JSON gives it back.
    max_bytes : int, default=16 GiB
        Limit in bytes on the dense layer, which a few bytes can stand for.

    Returns
    -------
    Factorization
        Equal to the one that was packed.

    Raises
    ------
    ValueError
        If the description names no known family, the arrays do not fit together, or the layer is
        over the limit.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> f = layers.factorize(np.eye(8), "sparse", budget=0.5)
    >>> layers.unpack(*f.pack()) == f
    True
    """
    if not (isinstance(meta, Mapping) and isinstance(arrays, Mapping)):
        raise ValueError(f"a packed layer is a mapping of arrays and one of JSON, got {meta!r}")
    check_int(max_bytes, "max_bytes", low=0)
    named = {name: np.asarray(array) for name, array in arrays.items()}
    return _unpacked(named, dict(meta), max_bytes, DEEPEST)


def _unpacked(named: Arrays, meta: Meta, max_bytes: int, levels: int) -> Factorization:
    kind = check_option(meta.get("kind"), "kind", FORMS)
    if "shape" in meta:  # before anything of that shape is allocated
        _check_size(checked_shape(meta), 1, max_bytes)
    if issubclass(FORMS[kind], Composite):
        if levels == 0:
            raise ValueError(f"the packed layer has more than {DEEPEST} forms inside one another")
        parts = unpack_parts(
            named, meta, lambda some, described: _unpacked(some, described, max_bytes, levels - 1)
        )
        meta = meta | {"parts": parts}
    form = FORMS[kind].unpack(named, meta)
    _check_size(form.shape, form.dtype.itemsize, max_bytes)
    return form


def _check_size(shape: tuple[int, int], itemsize: int, max_bytes: int) -> None:
    n_bytes = shape[0] * shape[1] * itemsize
    if n_bytes > max_bytes:
        raise ValueError(
            f"the packed layer of shape {shape} takes {n_bytes} bytes when dense, over the limit "
            f"of {max_bytes}; raise max_bytes"
        )
