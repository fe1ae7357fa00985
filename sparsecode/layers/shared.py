"""One dictionary for several layers that share their inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecode._validation import check_unused
from sparsecode.layers.factorizations import Bits, Dictionary, factorize, unpack
from sparsecode.layers.factorizations._base import check_parts, part, prefixed, unprefixed
from sparsecode.layers.factorizations._values import packed, stored_bits
from sparsecode.layers.factorizations.sparse import Sparse
from sparsecode.layers.formats import DEFAULT_MAX_BYTES

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
        return codes + Bits(codebook=stored_bits(self.forms[0].dictionary).total)

    def pack(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """``dictionary``, and the arrays of each layer's codes under its number."""
        arrays, metas = packed(dictionary=self.forms[0].dictionary)[0], []
        for index, form in enumerate(self.forms):
            codes, meta = form.codes.pack()
            arrays |= prefixed(str(index), codes)
            metas.append(meta)
        return arrays, {"layers": metas}

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
        metas, arrays = meta.get("layers"), dict(arrays)
        if not (isinstance(metas, list) and metas and all(isinstance(m, dict) for m in metas)):
            raise ValueError(f"the packed layers are {metas!r}; they have to be a list of mappings")
        dictionary, forms, names = part(arrays, "dictionary", 2), [], ["dictionary"]
        for index, described in enumerate(metas):
            codes = unprefixed(str(index), arrays)
            names += prefixed(str(index), codes)
            whole = {"dictionary": dictionary, **prefixed("codes", codes)}
            form = unpack(whole, {**described, "kind": Dictionary.kind}, max_bytes=max_bytes)
            assert isinstance(form, Dictionary)
            forms.append(Dictionary(form.codes, dictionary))
        check_parts(arrays, *names)
        return cls(tuple(forms))


def factorize_shared(
    Ws: Sequence[Any], *, budget: float, gram: Any = None, **options: Any
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
    budget : float
        The fraction of the bits of all of them together, in (0, 1].
    gram : array of shape (n_inputs, n_inputs), optional
        Second moment :math:`H` of the inputs that they share.
    **options
        As `factorize` has them for ``"dictionary"`` but `value_bits`, and `damping`.

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
    check_unused("factorize_shared", value_bits=options.pop("value_bits", None))
    arrays = [np.asarray(W) for W in Ws]
    if not arrays:
        raise ValueError("Ws is empty; give at least one layer")
    if any(W.ndim != 2 for W in arrays):
        raise ValueError(f"every layer has to be 2-D, got {[W.shape for W in arrays]}")
    if len({(W.shape[1], W.dtype.newbyteorder("=")) for W in arrays}) > 1:
        described = ", ".join(f"{W.shape} {W.dtype}" for W in arrays)
        raise ValueError(f"the layers have to share their inputs and dtype, got {described}")
    whole = factorize(np.concatenate(arrays), "dictionary", budget=budget, gram=gram, **options)
    assert isinstance(whole, Dictionary)
    forms, first = [], 0
    values = whole.codes.values
    assert isinstance(values, np.ndarray)
    kept = np.concatenate([[0], np.cumsum(whole.codes.support.sum(axis=1))])
    for W in arrays:
        last = first + len(W)
        codes = Sparse(values[kept[first] : kept[last]], whole.codes.support[first:last])
        forms.append(Dictionary(codes, whole.dictionary))
        first = last
    return SharedDictionary(tuple(forms))
