"""Compiled loops: arrays in, arrays out, no options, no raising, no printing.

Each file is self-contained (a callee edited in another file would leave a stale cache), imports
numba and NumPy only, and its kernels are serial and release the GIL.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numba

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract"},  # a product and a sum in one instruction, rounded once
}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on first call, and cache on disk where there is a folder that can be written."""
    return _cached(numba.njit(**OPTIONS)(function))


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile into its callers: for what is small and called often."""
    return _cached(numba.njit(**OPTIONS, forceinline=True)(function))


def compiled_sums(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile with sums in any order, so that they become vector instructions."""
    options = OPTIONS | {"fastmath": {"contract", "reassoc"}}
    return _cached(numba.njit(**options)(function))


def _cached(dispatcher: Any) -> Any:
    with suppress(AttributeError, RuntimeError):  # NUMBA_DISABLE_JIT=1, or nowhere to write
        dispatcher.enable_caching()
    return dispatcher
