r"""Dictionary: each output's weights as a sparse combination of atoms learned from the layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sparsecode._scaling import magnitude, to_units, unit_of
from sparsecode._validation import check_int, check_real
from sparsecode.layers.factorizations._base import (
    Arrays,
    Bits,
    BudgetError,
    Factorization,
    Meta,
    balanced,
    check_parts,
    prefixed,
    unprefixed,
)
from sparsecode.layers.factorizations._feedback import cholesky
from sparsecode.layers.factorizations._rounding import store_entries, store_matrix
from sparsecode.layers.factorizations._values import (
    Format,
    Values,
    check_format,
    decoded,
    packed,
    part_names,
    stored_bits,
    unpacked,
    width_of,
)
from sparsecode.layers.factorizations.sparse import Sparse, checked_shape, refit
from sparsecode.solvers import ksvd
from sparsecode.solvers.low_rank import gram_root


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

    def apply(self, X: np.ndarray) -> np.ndarray:
        """The atoms' responses, combined by the codes."""
        return self.codes.apply(X @ decoded(self.dictionary).T)

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
        codes = Sparse.unpack(parts, meta)
        if codes.dtype != dictionary.dtype:
            raise ValueError(f"codes {codes!r} do not fit a dictionary of {dictionary.dtype}")
        return cls(codes, dictionary)


def _sizes(
    shape: tuple[int, int], budget: int, format_: Format, atoms_per_nonzero: float
) -> tuple[int, int]:
    """The most nonzeros an output, and atoms in proportion, that fit the budget."""
    m, n = shape
    for n_nonzero in range(min(shape), 0, -1):
        n_atoms = min(max(round(atoms_per_nonzero * n_nonzero), 1), m)
        if n_nonzero > n_atoms:
            continue
        positions = Sparse(np.empty(m * n_nonzero, np.uint8), np.empty((m, n_atoms), bool)).bits()
        full = positions.total - positions.values + format_.cost(m * n_nonzero)
        if format_.cost(n_atoms, n) + full <= budget:
            return n_atoms, n_nonzero
    raise BudgetError(f"one atom and its codes for a {shape} layer do not fit into {budget} bits")


def fit_dictionary(
    W: np.ndarray,
    gram: np.ndarray | None,
    budget: int,
    dtype: np.dtype,
    *,
    atoms_per_nonzero: float = 2.0,
    n_rounds: int = 30,
    value_bits: int | None = None,
    random_state: Any = 0,
) -> Dictionary:
    """K-SVD on the outputs' weights, in the space where the inputs are white (CoSpaDi, 2025).

    `atoms_per_nonzero` is the number of atoms over the number of nonzeros an output. `value_bits`
    of 1 to 8, or 16, stores atoms and codes in so many bits.
    """
    check_real(atoms_per_nonzero, "atoms_per_nonzero", low=1)
    check_int(n_rounds, "n_rounds")
    format_ = check_format(dtype, value_bits)
    n_atoms, n_nonzero = _sizes(W.shape, budget, format_, atoms_per_nonzero)
    root = None if gram is None else gram_root(gram, W.shape[1])
    learned = ksvd(
        W if root is None else W @ root,
        n_atoms,
        n_nonzero_coefs=n_nonzero,
        max_iter=n_rounds,
        update="exact",
        random_state=random_state,
        n_threads=1,
    )
    atoms = learned.dictionary if root is None else learned.dictionary @ _inverse(root)
    codes, atoms = balanced(learned.codes.toarray(), atoms)
    support = codes != 0
    if not format_.plain:
        return _stored(W, codes, atoms, gram, format_)
    return Dictionary(Sparse(format_.store(codes[support]), support), format_.store(atoms))


def _stored(
    W: np.ndarray, codes: np.ndarray, atoms: np.ndarray, gram: np.ndarray | None, format_: Format
) -> Dictionary:
    """The atoms rounded, then the codes refitted to them on their support, and rounded too.

    With the atoms `D` given, the error of codes is that of a layer whose inputs have the moment
    ``D H D^T``.
    """
    support = codes != 0
    root = None if gram is None else cholesky(gram.copy())
    dictionary = store_matrix(atoms, root, format_)
    D = decoded(dictionary).astype(np.float64)
    unit = unit_of(magnitude(D), np.float64)
    D, W = to_units(D, unit), to_units(W, unit)
    DH = D if gram is None else D @ gram
    metric = DH @ D.T
    free = np.linalg.lstsq(metric, DH @ W.T, rcond=None)[0].T
    codes = refit(free, support, metric)
    values = store_entries(codes, support, cholesky(metric), format_)
    return Dictionary(Sparse(values, support), dictionary)


def _inverse(root: np.ndarray) -> np.ndarray:
    """The pseudo-inverse of the root of a second moment.

    The eigenvalues of the moment are known to `eps` times the largest: the root of `eps` cuts them.
    """
    return np.linalg.pinv(root, rcond=np.sqrt(len(root) * np.finfo(np.float64).eps))
