"""Memory: what a process may take, and an error with an estimate for what needs more."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SMALL = 2**20  # bytes: not worth a look at what there is
GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def check_fits(n_bytes: int, what: str) -> None:
    """An error with an estimate, before the work starts, for what no memory here can hold.

    Examples
    --------
    >>> from sparsecode._memory import check_fits
    >>> check_fits(2**80, "such a matrix")
    Traceback (most recent call last):
        ...
    MemoryError: such a matrix would take 1.13e+15 GiB; this machine has ...
    """
    if n_bytes <= SMALL:
        return
    for limit, whose in ((_machine(), "this machine has"), (_left(), "this process may take")):
        if n_bytes > limit:
            needed = min(n_bytes, 2**1000) / 2**30  # an integer may be more than a float can be
            raise MemoryError(f"{what} would take {needed:.3g} GiB; {whose} {limit / 2**30:.3g}")


def _machine() -> int:
    """Bytes of the machine, or of the container that stands for one."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # a system that does not tell
        memory = sys.maxsize
    for group in GROUPS:
        try:
            memory = min(memory, int(Path(group).read_text()))
        except (OSError, ValueError):  # none, or "max"
            continue
    return memory


def _left() -> int:
    """Bytes of address space that this process may still take (``ulimit -v``)."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return sys.maxsize
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):  # a system without such limits, or that is silent
        return sys.maxsize
    return max(0, limit - used)
