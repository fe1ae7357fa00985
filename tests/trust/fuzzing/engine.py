"""One reader under atheris, in a process of its own: ``python -m fuzzing.engine READER ...``."""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import atheris

# What a coverage-guided fuzzer has to see; kernels are compiled, and NumPy's C is not seen.
WATCHED = [
    *("sparsecode.layers", "sparsecode.cli", "sparsecode.datasets", "sparsecode._files"),
    *("sparsecode.theory", "sparsecode._phase_cells", "sparsecode._validation"),
    *("zipfile", "tomllib", "json"),
]

with atheris.instrument_imports(include=WATCHED, enable_loader_override=False):
    from . import corpus, guard, mutations, readers


def fuzz(name: str, seconds: int, seed: int, findings: Path) -> None:
    """Until the time is over or something is found: libFuzzer ends the process itself."""
    honest = corpus.honest(name)
    seeds = findings / f"corpus-{name}"
    seeds.mkdir(parents=True, exist_ok=True)
    for file, data in honest.items():
        (seeds / file).write_bytes(data)
    others = list(honest.values())
    room = 2 * max(map(len, honest.values()))
    folder = Path(tempfile.mkdtemp(prefix="sparsecode-fuzzing-"))
    watch = guard.Guard(folder)
    suffix = readers.READERS[name].suffix

    def once(data: bytes) -> None:
        with watch.of(readers.emptied(folder)):
            readers.check(name, data, folder)

    def mutator(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.3:
            return atheris.Mutate(data, max_size)
        try:
            return mutations.mutated(data, suffix(data), others, rng)[:max_size]
        except Exception:  # it takes files apart that are in order only
            return atheris.Mutate(data, max_size)

    for data in honest.values():  # imports and compiles what it needs, unguarded
        readers.check(name, data, readers.emptied(folder))
    options = {
        "max_total_time": seconds,
        "seed": seed + 1,  # 0 is a random one
        "timeout": 10,
        "rss_limit_mb": 1500,  # of which a third is Python's, NumPy's and numba's own
        "max_len": room,
        "print_final_stats": 1,
        "artifact_prefix": f"{findings}/{name}-",
    }
    arguments = [f"-{option}={value}" for option, value in options.items()]
    atheris.Setup([sys.argv[0], *arguments, str(seeds)], once, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    fuzz(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
