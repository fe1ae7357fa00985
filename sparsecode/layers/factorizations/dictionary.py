r"""Dictionary: each output's weights as a sparse combination of atoms learned from the layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._validation import check_int, check_option, check_real, check_unused
from sparsecode.layers.factorizations._atoms import LEARNERS, Sizes
from sparsecode.layers.factorizations._base import (
    Arrays,
    Bits,
    BudgetError,
    Factorization,
    Meta,
    balanced,
    check_parts,
    checked_shape,
    computing_dtype,
    in_double,
    prefixed,
    unprefixed,
)
from sparsecode.layers.factorizations._damped import Moment, as_damped
from sparsecode.layers.factorizations._feedback import cholesky
from sparsecode.layers.factorizations._format import Format, check_format
from sparsecode.layers.factorizations._positions import way_bits
from sparsecode.layers.factorizations._refit import TOLERANCE, refit
from sparsecode.layers.factorizations._rounding import store_entries, store_matrix
from sparsecode.layers.factorizations._values import (
    Values,
    checked_values,
    decoded,
    packed,
    part_names,
    stored_bits,
    unpacked,
    width_of,
)
from sparsecode.layers.factorizations.sparse import Sparse
from sparsecode.solvers.weighted import (
    ORDINARY,
    eigenvectors,
    gram_root,
    wide_product,
)

RATIOS: tuple[float, ...] = (1.25, 2.0, 4.0)  # atoms to nonzeros an output
FIRST_ROUNDS = 3  # for each of them, before all but the best are dropped


@dataclass(frozen=True, eq=False, repr=False)
class Dictionary(Factorization):
    """``W = codes @ dictionary``.

    Parameters
    ----------
    codes : Sparse
        (n_outputs, n_components): a few coefficients an output.
    dictionary : array, or values stored otherwise, of shape (n_components, n_inputs)
        Atoms, one a row.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> W = np.random.default_rng(0).standard_normal((32, 64))
    >>> f = layers.factorize(W, "dictionary", budget=0.5)
    >>> f.shape, f.bits().total <= 0.5 * 64 * W.size
    ((32, 64), True)
    """

    codes: Sparse
    dictionary: Values
    kind: ClassVar[str] = "dictionary"

    def __post_init__(self) -> None:
        codes, atoms = self.codes, checked_values(self.dictionary, "dictionary", 2)
        if not isinstance(codes, Sparse):
            raise TypeError(f"codes has to be a Sparse, got a {type(codes).__name__}")
        if atoms.size == 0 or (codes.shape[1], codes.dtype) != (atoms.shape[0], atoms.dtype):
            raise ValueError(
                f"codes {codes!r} do not fit a dictionary of {atoms.dtype} of shape {atoms.shape}"
            )
        object.__setattr__(self, "dictionary", atoms)

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_outputs, n_inputs)``."""
        return self.codes.shape[0], self.dictionary.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """The dtype of codes and atoms."""
        return self.dictionary.dtype

    @property
    def summary(self) -> str:
        """Atoms, and how many of them an output takes."""
        n_atoms, n_outputs = self.dictionary.shape[0], self.shape[0]
        width = width_of(self.dictionary)
        return f"{n_atoms} atoms, {self.codes.values.size / n_outputs:.1f} an output{width}"

    def to_dense(self) -> np.ndarray:
        """The product of codes and atoms."""
        atoms = decoded(self.dictionary)
        return (self.codes.decoded() @ atoms).astype(self.dtype, copy=False)

    def _apply(self, X: np.ndarray) -> np.ndarray:
        """The atoms' responses, combined by the codes."""
        return self.codes._apply(X @ decoded(self.dictionary).T)

    def bits(self) -> Bits:
        """The codes as a sparse matrix, the atoms as a codebook."""
        atoms = stored_bits(self.dictionary)
        return self.codes.bits() + Bits(codebook=atoms.values, scales=atoms.scales)

    def pack(self) -> tuple[Arrays, Meta]:
        """``dictionary`` and the arrays of the codes."""
        codes, meta = self.codes.pack()
        atoms, described = packed(dictionary=self.dictionary)
        return {**atoms, **prefixed("codes", codes)}, {**described, **meta, "kind": self.kind}

    @classmethod
    def unpack(cls, arrays: Arrays, meta: Meta) -> Dictionary:
        """The inverse of `pack`."""
        parts, dictionary = unprefixed("codes", arrays), unpacked(arrays, meta, "dictionary", 2)
        check_parts(arrays, *part_names(meta, "dictionary"), *prefixed("codes", parts))
        if dictionary.size == 0 or checked_shape(meta)[1] != dictionary.shape[0]:
            raise ValueError(
                f"codes {meta['shape']} do not fit a dictionary of shape {dictionary.shape}"
            )
        return cls(Sparse.unpack(parts, meta), dictionary)


def fit_dictionary(
    W: np.ndarray,
    gram: Moment | None,
    budget: int,
    dtype: np.dtype,
    *,
    atoms_per_nonzero: float | None = None,
    learning: str = "ksvd",
    n_rounds: int = 30,
    value_bits: int | str | None = None,
    random_state: Any = None,
) -> Dictionary:
    """Atoms and codes of the outputs' weights, in the space where the inputs are white.

    `atoms_per_nonzero` is the number of atoms over the number of nonzeros an output. None tries a
    few, and goes on with the best of them. `value_bits` of 1 to 8, 16, "float16" or "bfloat16"
    stores atoms and codes so.
    """
    format_ = check_format(dtype, value_bits)
    check_option(learning, "learning", LEARNERS)
    if learning == "orthogonal":
        check_unused("learning='orthogonal'", random_state=random_state)
    ratios = RATIOS
    if atoms_per_nonzero is not None:
        ratios = (check_real(atoms_per_nonzero, "atoms_per_nonzero", low=1),)
    check_int(n_rounds, "n_rounds")
    found = dict.fromkeys(_sizes(W.shape, budget, format_, ratio) for ratio in ratios)
    if not (sizes := [size for size in found if size is not None]):
        raise BudgetError(
            f"one atom and its codes for a {W.shape} layer do not fit into {budget} bits; "
            "raise budget"
        )
    learn, seed = LEARNERS[learning], 0 if random_state is None else random_state
    of_rows = gram is not None and W.shape[0] < W.shape[1] > ORDINARY
    if not (of_rows and format_.plain):
        W, gram = in_double(W, gram)
    unit = unit_of(magnitude(W), np.float64)
    X, back = (_white_rows if of_rows else _white)(to_units(W, unit), gram)
    first = n_rounds if len(sizes) == 1 else min(n_rounds, FIRST_ROUNDS)
    trials = ((learn(X, Sizes(*size), first, seed, None), size) for size in sizes)
    best, size = min(trials, key=lambda trial: trial[0].error)  # one after another: two in memory
    if first < n_rounds:
        more = learn(X, Sizes(*size), n_rounds - first, seed, best.atoms)
        best = min(best, more, key=lambda trial: trial.error)
    codes = from_units(best.codes, unit, name="the codes")
    codes, atoms = balanced(codes, back(best.atoms))
    support = codes != 0
    if not format_.plain:
        return _stored(W, codes, atoms, gram, format_)
    return Dictionary(Sparse(format_.store(codes[support]), support), format_.store(atoms))


def _stored(
    W: np.ndarray, codes: np.ndarray, atoms: np.ndarray, gram: Moment | None, format_: Format
) -> Dictionary:
    """The atoms rounded, then the codes refitted to them on their support, and rounded too."""
    root = None if gram is None else cholesky(np.array(gram, order="C"))
    dictionary = store_matrix(atoms, root, format_)
    return Dictionary(coded(W, codes != 0, dictionary, gram, format_), dictionary)


def coded(
    W: np.ndarray,
    support: np.ndarray,
    dictionary: Values,
    gram: Moment | None,
    format_: Format,
) -> Sparse:
    """The codes of `W` on a support, fitted to stored atoms and rounded with feedback.

    With the atoms `D` given, the error of codes is that of a layer whose inputs have the moment
    ``D H D^T``.
    """
    D = decoded(dictionary).astype(np.float64)
    unit = unit_of(magnitude(D), np.float64)
    D, W = to_units(D, unit), to_units(W, unit)
    DH = D if gram is None else D @ gram
    metric = DH @ D.T
    free = np.linalg.lstsq(metric, DH @ W.T, rcond=None)[0].T
    codes = refit(free, support, metric, tol=TOLERANCE[computing_dtype(format_.dtype)])
    return Sparse(store_entries(codes, support, cholesky(metric), format_), support)


def _sizes(
    shape: tuple[int, int], budget: int, format_: Format, ratio: float
) -> tuple[int, int] | None:
    """Atoms, and the most nonzeros an output in proportion, that fit the budget, if any do."""
    m, n = shape
    for n_nonzero in range(min(shape), 0, -1):
        n_atoms = min(max(round(ratio * n_nonzero), 1), m)
        if n_nonzero > n_atoms:
            continue
        count = m * n_nonzero
        positions = min(bits.total for bits in way_bits((m, n_atoms), count).values())
        if format_.cost(n_atoms, n) + format_.cost(count) + positions <= budget:
            return n_atoms, n_nonzero
    return None


def _white_rows(
    W: np.ndarray, gram: Moment | None
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """What `_white` gives, from ``W H W^T = U S^2 U^T``: no root of a moment larger than that.

    The weights become ``U S``, and atoms come back as ``atoms S^-1 U^T W``. Squares are formed, so
    directions of less than ``sqrt(m * eps)`` of the largest are cut.
    """
    assert gram is not None
    energies, U = eigenvectors(as_damped(gram).square(W))
    kept = energies > len(W) * np.finfo(np.float64).eps * energies[-1]
    kept[-1] = True
    sizes, U = np.sqrt(energies[kept]), U[:, kept]
    X = np.ascontiguousarray(U * sizes)

    def back(atoms: np.ndarray) -> np.ndarray:
        inverse = np.divide(1, sizes, out=np.zeros_like(sizes), where=sizes > 0)
        return wide_product((atoms * inverse) @ U.T, W)

    return X, back


def _white(
    W: np.ndarray, gram: Moment | None
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """The weights where the inputs are white, turned into as few dimensions as they span.

    And the way back for atoms. The eigenvalues of a moment are known to `eps` times the largest:
    directions of less than its root are cut.
    """
    root = None if gram is None else gram_root(gram, W.shape[1])
    X, basis = W if root is None else W @ root, None
    if W.shape[0] < W.shape[1]:
        basis, R = np.linalg.qr(X.T)
        X = np.ascontiguousarray(R.T)

    def back(atoms: np.ndarray) -> np.ndarray:
        if basis is not None:
            atoms = atoms @ basis.T
        if root is None:
            return atoms
        values = np.einsum("ij,ij->j", root, root)  # root = V diag(sqrt(values))
        cut = len(root) * np.finfo(np.float64).eps * values.max()
        inverse = np.divide(1.0, values, out=np.zeros_like(values), where=values > cut)
        return (atoms * inverse) @ root.T

    return X, back
