"""Mutations of the kernels drawn from all that a small slip may be, written as those by hand are.

Every operator, comparison, constant, sign, index and bound of a function's body is a place for one.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import random
from collections.abc import Iterator

PLACE = "sparsecode.solvers._kernels"
ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*"}
COMPARISONS = {
    "<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",),
    "!=": ("==",),
}  # fmt: skip
NAMES = {"max": "min", "min": "max", "and": "or", "or": "and"}
Change = tuple[int, int, str]  # where it begins and ends, and what stands there instead


def drawn(files: list[str], n: int, seed: int = 0) -> list[tuple[str, str]]:
    """So many with their files, spread evenly over all functions; all if there are no more."""
    rng = random.Random(seed)
    hats = []
    for kernels in files:
        source = inspect.getsource(importlib.import_module(f"{PLACE}.{kernels}"))
        for function in ast.parse(source).body:
            if isinstance(function, ast.FunctionDef):
                changes = sorted(set(_changes(source, function)))
                rng.shuffle(changes)
                hats.append([(kernels, source, change) for change in changes])
    dealt = [drawn for turn in itertools.zip_longest(*hats) for drawn in turn if drawn]
    return [(kernels, _written(source, change)) for kernels, source, change in dealt[:n]]


def _written(source: str, change: Change) -> str:
    """As the table has it: with its line, and as many more as make it stand there once."""
    start, end, new = change
    low, high = start, end
    while low == start or source.count(source[low:high]) > 1:
        low, high = source.rfind("\n", 0, max(low - 1, 0)) + 1, source.index("\n", high) + 1
    return f"{source[low:start]}<<{source[start:end]}|{new}>>{source[end:high]}"


def _changes(source: str, function: ast.FunctionDef) -> Iterator[Change]:
    lines = [0]
    for line in source.encode().splitlines(keepends=True):
        lines.append(lines[-1] + len(line))

    def start(node: ast.AST) -> int:
        return lines[node.lineno - 1] + node.col_offset

    def end(node: ast.AST) -> int:
        return lines[node.end_lineno - 1] + node.end_col_offset

    def between(left: ast.AST, right: ast.AST, changes: dict[str, tuple[str, ...]]):
        # With the blank before it: a comparison next to << could not be read.
        at, piece = end(left), source[end(left) : start(right)]
        for old in sorted(changes, key=len, reverse=True):
            place = piece.find(f" {old} ")
            if place >= 0:
                for new in changes[old]:
                    yield at + place, at + place + len(old) + 1, f" {new}"
                return

    for node in (inside for part in function.body for inside in ast.walk(part)):
        match node:
            case ast.BinOp():
                swaps = {old: (new,) for old, new in ARITHMETIC.items()}
                yield from between(node.left, node.right, swaps)
            case ast.AugAssign():
                swaps = {f"{old}=": (f"{new}=",) for old, new in ARITHMETIC.items()}
                yield from between(node.target, node.value, swaps)
            case ast.Compare(comparators=[right]):
                yield from between(node.left, right, COMPARISONS)
            case ast.BoolOp(values=[left, right, *_]):
                yield from between(left, right, {"and": ("or",), "or": ("and",)})
            case ast.UnaryOp(op=ast.USub()):
                yield start(node), start(node) + 1, ""
            case ast.UnaryOp(op=ast.Not()):
                yield start(node), start(node) + 3, ""
            case ast.Constant(value=bool()):
                yield start(node), end(node), str(not node.value)
            case ast.Constant(value=int()):
                yield start(node), end(node), str(node.value + 1)
            case ast.Constant(value=float()):
                other = f"-{source[start(node) : end(node)]}" if node.value else "1.0"
                yield start(node), end(node), other
            case ast.Name(id="max" | "min"):
                yield start(node), end(node), NAMES[node.id]
            case ast.Subscript(slice=ast.Tuple(elts=[one, two, *_])):
                first, second = (source[start(e) : end(e)] for e in (one, two))
                swapped = second + source[end(one) : start(two)] + first
                if first != second:
                    yield start(one), end(two), swapped
            case ast.Call(func=ast.Name(id="range"), args=bounds):
                bound = bounds[min(1, len(bounds) - 1)]
                yield end(bound), end(bound), " - 1"
                if len(bounds) > 1:
                    yield end(bounds[0]), end(bounds[0]), " + 1"
