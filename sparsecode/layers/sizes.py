"""Sizes, as fractions and in words."""

from __future__ import annotations

import math
import re
from typing import Any

from sparsecode._validation import check_real

UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def share_of(budget: Any, n_bytes: int) -> float:
    """The fraction of so many bytes that a budget is: given as one, or as ``"24 MB"``."""
    if not isinstance(budget, str):
        return check_real(budget, "budget", low=0, high=1, open_low=True)
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", budget)
    unit = next((u for u in UNITS if found and u.lower() == found[2].lower()), None)
    if found is None or unit is None or float(found[1]) == 0:
        raise ValueError(
            f"budget has to be a fraction in (0, 1] or a size such as '24 MB' (units: "
            f"{', '.join(UNITS)}), got {budget!r}"
        )
    size = float(found[1]) * UNITS[unit]
    share = min(size / n_bytes, 1.0)
    # Not a byte less by rounding: what takes just so many fits.
    return share if share == 1 or share * n_bytes >= size else math.nextafter(share, 1)
