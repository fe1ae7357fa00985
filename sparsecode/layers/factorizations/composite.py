r"""Sums and chains of forms: several paths whose outputs add, or layers one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import ClassVar

import numpy as np

from sparsecode.layers.factorizations._base import (
    Arrays,
    Bits,
    Factorization,
    Meta,
    check_parts,
    computing_dtype,
    prefixed,
    unprefixed,
)

DEEPEST = 4  # composites inside composites


@dataclass(frozen=True, eq=False, repr=False)
class Composite(Factorization):
    """Forms of one dtype that make up a layer together.

    Packed as the arrays of the parts, with the number of the part and a dot in front of their
    names, and the parts' own descriptions.

    Parameters
    ----------
    parts : sequence of Factorization
        At least one.
    """

    parts: tuple[Factorization, ...]

    def __post_init__(self) -> None:
        parts = tuple(self.parts) if isinstance(self.parts, Iterable) else (self.parts,)
        if strange := [part for part in parts if not isinstance(part, Factorization)]:
            raise TypeError(
                f"parts has to be a sequence of forms, got a {type(strange[0]).__name__}"
            )
        object.__setattr__(self, "parts", parts)
        if not parts:
            raise ValueError(f"parts is empty: a {self.kind} has at least one part")
        if len({part.dtype for part in parts}) > 1 or not self._fits():
            raise ValueError(f"parts of a {self.kind} have to fit, and these do not fit: {parts!r}")
        depth(self)

    def _fits(self) -> bool:
        raise NotImplementedError

    @property
    def dtype(self) -> np.dtype:
        """The dtype of all parts."""
        return self.parts[0].dtype

    @property
    def summary(self) -> str:
        """The parts, each with its own."""
        return f" {self._sign} ".join(f"{part.kind} ({part.summary})" for part in self.parts)

    _sign: ClassVar[str]

    def _dense_parts(self) -> Iterator[np.ndarray]:
        dtype = computing_dtype(self.dtype)
        return (part.to_dense().astype(dtype, copy=False) for part in self.parts)

    def bits(self) -> Bits:
        """Those of the parts."""
        return sum((part.bits() for part in self.parts), Bits())

    def pack(self) -> tuple[Arrays, Meta]:
        """The arrays of the parts, numbered, and their descriptions."""
        arrays: Arrays = {}
        metas = []
        for number, part in enumerate(self.parts):
            some, meta = part.pack()
            arrays |= prefixed(str(number), some)
            metas.append(meta)
        return arrays, {"kind": self.kind, "parts": metas}

    @classmethod
    def unpack(cls, arrays: Arrays, meta: Meta) -> Composite:
        """The inverse of `pack`, where ``meta["parts"]`` are forms that are unpacked already."""
        return cls(tuple(meta["parts"]))


def unpack_parts(
    arrays: Arrays, meta: Meta, unpack: Callable[[Arrays, Meta], Factorization]
) -> list[Factorization]:
    """The parts that a packed composite describes, given the inverse of `pack` for one part."""
    metas = meta.get("parts")
    if not (isinstance(metas, list) and metas and all(isinstance(m, dict) for m in metas)):
        raise ValueError(f"the packed layer describes its parts as {metas!r}")
    some = [unprefixed(str(number), arrays) for number in range(len(metas))]
    names = [name for number, part in enumerate(some) for name in prefixed(str(number), part)]
    check_parts(arrays, *names)
    return [unpack(part, described) for part, described in zip(some, metas, strict=True)]


def depth(form: Factorization) -> int:
    """How many composites lie inside one another, 0 for none; too many are an error."""
    if not isinstance(form, Composite):
        return 0
    found = 1 + max(depth(part) for part in form.parts)
    if found > DEEPEST:
        raise ValueError(f"the packed layer has composites inside composites {found} deep")
    return found


class Sum(Composite):
    """``W = terms[0] + terms[1] + ...``: paths whose outputs add.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> W = np.random.default_rng(0).standard_normal((32, 64))
    >>> low_rank = layers.factorize(W, "low_rank", budget=0.2)
    >>> rest = layers.factorize(W - low_rank.to_dense(), "uniform", budget=0.1)
    >>> f = layers.Sum((low_rank, rest))
    >>> f.bits().total == low_rank.bits().total + rest.bits().total
    True
    """

    kind: ClassVar[str] = "sum"
    _sign: ClassVar[str] = "+"

    def _fits(self) -> bool:
        return len({part.shape for part in self.parts}) == 1

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_outputs, n_inputs)``."""
        return self.parts[0].shape

    def to_dense(self) -> np.ndarray:
        """The sum of the terms."""
        with np.errstate(over="ignore"):
            return reduce(np.add, self._dense_parts()).astype(self.dtype, copy=False)

    def _apply(self, X: np.ndarray) -> np.ndarray:
        """The sum of their outputs."""
        return reduce(np.add, (part._apply(X) for part in self.parts))


class Chain(Composite):
    """``W = factors[0] @ factors[1] @ ...``: layers one after another, the last applied first.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> left, right = np.eye(4)[:, :2], np.ones((2, 6))
    >>> f = layers.Chain([layers.factorize(A, "dense", budget=1) for A in (left, right)])
    >>> f.shape, np.array_equal(f.to_dense(), left @ right)
    ((4, 6), True)
    """

    kind: ClassVar[str] = "chain"
    _sign: ClassVar[str] = "@"

    def _fits(self) -> bool:
        return all(a.shape[1] == b.shape[0] for a, b in pairwise(self.parts))

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_outputs, n_inputs)``."""
        return self.parts[0].shape[0], self.parts[-1].shape[1]

    def to_dense(self) -> np.ndarray:
        """The product of the factors."""
        with np.errstate(over="ignore"):
            return reduce(np.matmul, self._dense_parts()).astype(self.dtype, copy=False)

    def _apply(self, X: np.ndarray) -> np.ndarray:
        """Through one factor after the other."""
        return reduce(lambda inputs, part: part._apply(inputs), reversed(self.parts), X)
