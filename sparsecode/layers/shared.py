"""One dictionary for several layers that share their inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecode._validation import check_array, without_mask
from sparsecode.layers.factorizations import (
    Bits,
    Dictionary,
    factorize,
    layer_dtype,
    unpack,
)
from sparsecode.layers.factorizations._base import check_parts, prefixed, unprefixed
from sparsecode.layers.factorizations._damped import DAMPING, damped
from sparsecode.layers.factorizations._format import format_of
from sparsecode.layers.factorizations._values import packed, part_names, stored_bits, unpacked
from sparsecode.layers.factorizations.dictionary import coded
from sparsecode.layers.factorizations.sparse import Sparse
from sparsecode.layers.formats import DEFAULT_MAX_BYTES
from sparsecode.layers.sizes import share_of

__all__ = ["SharedDictionary", "factorize_shared"]


@dataclass(frozen=True)
class SharedDictionary:
    """Several layers as sparse codes in the same atoms, which are stored once.

    Attributes
    ----------
    forms : tuple of Dictionary
        One a layer, all with the same array of atoms.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> rng = np.random.default_rng(0)
    >>> shared = layers.factorize_shared([rng.standard_normal((32, 16)) for _ in "qkv"], budget=0.5)
    >>> [f.shape for f in shared.forms], shared.bits().total <= 0.5 * 3 * 64 * 32 * 16
    ([(32, 16), (32, 16), (32, 16)], True)
    """

    forms: tuple[Dictionary, ...]

    def bits(self) -> Bits:
        """The codes of every layer, and the atoms once."""
        codes = sum((form.codes.bits() for form in self.forms), Bits())
        atoms = stored_bits(self.forms[0].dictionary)
        return codes + Bits(codebook=atoms.values, scales=atoms.scales)

    def pack(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """``dictionary``, and the arrays of each layer's codes under its number."""
        arrays, shared = packed(dictionary=self.forms[0].dictionary)
        metas = []
        for index, form in enumerate(self.forms):
            codes, meta = form.codes.pack()
            arrays |= prefixed(str(index), codes)
            metas.append(meta)
        return arrays, shared | {"layers": metas}

    @classmethod
    def unpack(
        cls,
        arrays: Mapping[str, np.ndarray],
        meta: Mapping[str, Any],
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> SharedDictionary:
        """The inverse of `pack`.

        Raises
        ------
        ValueError
            If the arrays do not fit together, or the layers take more than `max_bytes` when dense.
        """
        metas, arrays, meta = meta.get("layers"), dict(arrays), dict(meta)
        if not (isinstance(metas, list) and metas and all(isinstance(m, dict) for m in metas)):
            raise ValueError(f"the packed layers are {metas!r}; they have to be a list of mappings")
        dictionary, forms = unpacked(arrays, meta, "dictionary", 2), []
        shared = {key: meta[key] for key in ("dictionary",) if key in meta}
        atoms = part_names(shared, "dictionary")
        names = list(atoms)
        for index, described in enumerate(metas):
            codes = unprefixed(str(index), arrays)
            names += prefixed(str(index), codes)
            whole = {**{name: arrays[name] for name in atoms}, **prefixed("codes", codes)}
            described = {**described, **shared, "kind": Dictionary.kind}
            form = unpack(whole, described, max_bytes=max_bytes)
            assert isinstance(form, Dictionary)
            forms.append(Dictionary(form.codes, dictionary))
        check_parts(arrays, *names)
        return cls(tuple(forms))


def factorize_shared(
    Ws: Sequence[Any], *, budget: float | str, gram: Any = None, **options: Any
) -> SharedDictionary:
    r"""Replace layers that share their inputs by sparse codes in one dictionary.

    .. math:: \min_{D, C_\ell} \sum_\ell
              \mathrm{tr}\bigl((W_\ell - C_\ell D)\, H\, (W_\ell - C_\ell D)^T\bigr)

    What queries, keys and values have in common is then stored once, and the atoms' responses are
    computed once.

    Parameters
    ----------
    Ws : sequence of arrays of shape (n_outputs, n_inputs)
        The layers, of one dtype and with the same inputs.
    budget : float or str
        The fraction of the bits of all of them together, in (0, 1], or a size such as ``"24 kB"``.
    gram : array of shape (n_inputs, n_inputs), optional
        Second moment :math:`H` of the inputs that they share.
    **options
        As `factorize` has them for ``"dictionary"``, and `damping`. Codes of few bits get grids of
        their own in every layer.

    Returns
    -------
    SharedDictionary
        With `forms`, one `Dictionary` a layer, and `bits()`, which count the atoms once.

    Raises
    ------
    ValueError
        If there is no layer, the layers do not fit, or `factorize` refuses them.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> rng = np.random.default_rng(0)
    >>> Ws = [rng.standard_normal((32, 16)), rng.standard_normal((8, 16))]
    >>> shared = layers.factorize_shared(Ws, budget=0.5)
    >>> shared.forms[0].dictionary is shared.forms[1].dictionary
    True
    """
    if isinstance(Ws, str | Mapping) or not isinstance(Ws, Iterable):
        raise TypeError(f"Ws has to be a sequence of arrays, one a layer, got {type(Ws).__name__}")
    arrays = [_layer(W, f"Ws[{index}]") for index, W in enumerate(Ws)]
    if not arrays:
        raise ValueError("Ws is empty; give at least one layer")
    if len({(W.shape[1], W.dtype.newbyteorder("=")) for W in arrays}) > 1:
        described = ", ".join(f"{W.shape} {W.dtype}" for W in arrays)
        raise ValueError(f"the layers have to share their inputs and dtype, got {described}")
    whole = np.concatenate(arrays)
    size = 8 * whole.size * layer_dtype(whole).itemsize
    share = asked = share_of(budget, size // 8)
    while True:
        fitted = factorize(whole, "dictionary", budget=share, gram=gram, **options)
        assert isinstance(fitted, Dictionary)
        shared = _split(whole, [len(W) for W in arrays], fitted, gram, options.get("damping"))
        excess = shared.bits().total - int(asked * size)
        if excess <= 0:
            return shared
        # Packed apart, the layers take more padding, and scales where one ends within a group.
        share = max(share - (excess + 1) / size, np.finfo(float).tiny)


def _layer(W: Any, name: str) -> np.ndarray:
    """The weights in their own dtype, once they are such."""
    check_array(W, name)
    return np.asarray(without_mask(W, name))


def _split(
    whole: np.ndarray, heights: Sequence[int], fitted: Dictionary, gram: Any, damping: float | None
) -> SharedDictionary:
    """The forms of layers that were fitted as one."""
    values, support = fitted.codes.values, fitted.codes.support
    kept = np.concatenate([[0], np.cumsum(support.sum(axis=1))])
    format_ = format_of(values)
    metric = damped(gram, whole.shape[1], DAMPING if damping is None else damping)
    forms, first = [], 0
    for height in heights:
        rows, last = slice(first, first + height), first + height
        if isinstance(values, np.ndarray):
            codes = Sparse(values[kept[first] : kept[last]], support[rows])
        else:
            W = whole[rows].astype(np.float64)
            codes = coded(W, support[rows], fitted.dictionary, metric, format_)
        forms.append(Dictionary(codes, fitted.dictionary))
        first = last
    return SharedDictionary(tuple(forms))
