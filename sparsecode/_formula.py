"""The public edge of the penalties: what their formulas are given is checked here, once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from sparsecode._validation import check_array, check_real

Penalty = TypeVar("Penalty", bound=type)

OF_VALUES = ("value", "conjugate", "polar", "vanishing")
ANY = tuple(range(1, 65))


def formula(
    *,
    ndim: tuple[int, ...] | None = None,
    needs: str | None = None,
    finite: bool = False,
    coupled: bool = False,
) -> Callable[[Penalty], Penalty]:
    """A penalty whose methods take numbers and nothing else, and name what they do not take.

    Of any shape, or of so many axes, or of a matrix, which is what it `needs` in words. Where a
    formula has an answer for them, NaN and infinity are numbers. A convex penalty that has no
    signals `coupled` takes a step for each of them.
    """

    def decorate(cls: Penalty) -> Penalty:
        def values(x: Any, name: str) -> np.ndarray:
            if needs is not None and isinstance(x, np.ndarray) and x.ndim != 2:
                raise ValueError(f"{name} has to be 2-D, got {x.ndim}-D: {needs}")
            return _values(x, name, (2,) if needs else ndim, finite)

        for name in OF_VALUES:
            if name in vars(cls):
                setattr(cls, name, _of_values(vars(cls)[name], values))
        several = cls.convex and not coupled  # type: ignore[attr-defined]
        prox = _of_values_and_step(vars(cls)["prox"], values, several)
        cls.prox = prox  # type: ignore[attr-defined]
        cls.in_units = _of_unit(vars(cls)["in_units"])  # type: ignore[attr-defined]
        return cls

    return decorate


def _of_values(method: Callable[..., Any], values: Callable[..., np.ndarray]) -> Callable[..., Any]:
    name = method.__code__.co_varnames[1]

    @functools.wraps(method)
    def checked(self: Any, *given: Any, **named: Any) -> Any:
        if len(given) + len(named) != 1 or (named and name not in named):
            raise TypeError(f"{method.__name__}() takes one argument, {name}")
        return method(self, values(given[0] if given else named[name], name))

    return checked


def _of_values_and_step(
    method: Callable[..., Any], values: Callable[..., np.ndarray], several: bool
) -> Callable[..., Any]:
    @functools.wraps(method)
    def prox(self: Any, x: Any, step: Any) -> Any:
        x = values(x, "x")
        return method(self, x, _step(step, x, several))

    return prox


def _of_unit(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def in_units(self: Any, unit: Any) -> Any:
        beyond = isinstance(unit, float) and unit == np.inf  # the quotient of two units may be
        return method(self, unit if beyond else check_real(unit, "unit", low=0))

    return in_units


def _values(x: Any, name: str, ndim: tuple[int, ...] | None, finite: bool) -> np.ndarray:
    """Solvers come through here in each iteration: ordinary arrays have to cost nothing."""
    ordinary = type(x) is np.ndarray and x.dtype.char in "fdFD" and x.dtype.isnative and x.ndim
    if finite or not ordinary or (ndim is not None and x.ndim not in ndim):
        return check_array(
            x, name, ndim=ndim or ANY, allow_complex=True, allow_missing=not finite,
            allow_empty=True,
        )  # fmt: skip
    return x


def _step(step: Any, x: np.ndarray, several: bool) -> Any:
    """A nonnegative number, or `several`, one for each signal."""
    if not (several and isinstance(step, np.ndarray) and step.shape):
        check_real(step, "step", low=0)
    elif step.shape != x.shape[1:]:
        raise ValueError(f"step has shape {step.shape}; x asks for one number, or {x.shape[1:]}")
    return step
