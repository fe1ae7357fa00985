"""The file in which a measured phase transition keeps its finished cells."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sparsecode._files import check_path, writable_target, write_json
from sparsecode._strict import strict_json
from sparsecode._validation import check_int


class Cells:
    """What has been counted, by measurements and nonzeros; in a file as well, if there is one."""

    def __init__(self, path: Any, settings: tuple[int, ...], success_tol: float) -> None:
        self.path = None if path is None else check_path(path)
        self.settings: list[Any] = [*settings, success_tol]
        self.counts: dict[tuple[int, int], int] = {}
        if self.path is not None and self.path.is_file():
            self._read(self.path)

    def _read(self, path: Path) -> None:
        """What is believed of the file: counts of trials, of this experiment."""
        again = "give another path, or delete it"
        try:
            kept = strict_json(path.read_bytes())
            same, rows = kept["settings"] == self.settings, kept["cells"]
            self.counts = dict(map(self._cell, rows if same else ()))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path} is damaged: {str(error)[:200]}; {again}") from error
        if not same:
            raise ValueError(
                f"{path} is of another experiment (n, n_trials, random_state, positive or "
                f"success_tol differ); {again}"
            )

    def _cell(self, row: Any) -> tuple[tuple[int, int], int]:
        n, n_trials = self.settings[:2]
        m, k, count = row
        cell = check_int(m, "m", high=n), check_int(k, "k", high=n)
        return cell, check_int(count, "a count of successes", low=0, high=n_trials)

    def missing(self, cells: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those to be counted; if there are any, it is known that the file can be written."""
        left = [cell for cell in cells if cell not in self.counts]
        if left and self.path is not None:
            writable_target(self.path)
        return left

    def add(self, cell: tuple[int, int], count: int) -> None:
        self.counts[cell] = count
        if self.path is not None:
            cells = [[*cell, count] for cell, count in self.counts.items()]
            write_json(self.path, {"settings": self.settings, "cells": cells})
