"""Time and memory of layers as large as they come: ``python benchmarks/layers/speed.py``.

Each row in a process of its own, of which the peak of the resident set is told in units of the
layer in float32: all of it, and what it is above that before the call, which holds the layer, the
moments and the packages. Weights and moments are drawn: a spectrum that falls as ``1 / sqrt(i)``,
channels of different sizes, inputs that lie in few directions. The network has the shapes of a
sentence encoder with six blocks of width 384 and 30,522 words, 22.5 million parameters, and all
families are tried on all layers. ``--tiny`` is for trying it out.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from sparsecode import layers
from sparsecode.layers.report import text_table

WIDTH, BLOCKS, WORDS, PLACES = 384, 6, 30_522, 512


class Row(NamedTuple):
    """What is measured, and how long it may take."""

    what: str
    shape: tuple[int, int]
    limit: float
    method: str
    options: dict[str, Any]


BFLOAT16 = "4096 x 11008 bfloat16"
ROWS = {
    "low_rank": Row(f"{BFLOAT16}, low rank in the full metric", (4096, 11008), 90, "low_rank", {}),
    "wanda": Row(f"{BFLOAT16}, Wanda", (4096, 11008), 30, "sparse", {"refit": False}),
    "refit": Row(f"{BFLOAT16}, Wanda and the refit", (4096, 11008), 300, "sparse", {}),
    "rounding": Row(
        f"{BFLOAT16}, 4 bits with error feedback", (4096, 11008), 300, "uniform", {"bits": 4}
    ),
    "dictionary": Row("1024 x 4096 float32, dictionary", (1024, 4096), 300, "dictionary", {}),
}
NETWORKS = {"quarter": 1 / 4, "eighth": 1 / 8}


def weights(rng: np.random.Generator, m: int, n: int) -> np.ndarray:
    """Singular values that fall as ``1 / sqrt(i)``, a thousand of them; rows of any size."""
    k = min(m, n, 1024)
    left = rng.standard_normal((m, k), dtype=np.float32)
    left *= (np.arange(1, k + 1) ** -0.5).astype(np.float32)
    W = left @ rng.standard_normal((k, n), dtype=np.float32)
    W *= rng.lognormal(0, 0.3, (m, 1)).astype(np.float32)
    return W / np.float32(np.sqrt(n) * W.std())


def inputs(rng: np.random.Generator, n_samples: int, n: int) -> np.ndarray:
    """An eighth of all directions has the most of them; channels are of different sizes."""
    k = max(n // 8, 1)
    few = rng.standard_normal((n_samples, k), dtype=np.float32)
    few *= (np.arange(1, k + 1) ** -0.5).astype(np.float32)
    X = few @ rng.standard_normal((k, n), dtype=np.float32)
    X += 0.3 * rng.standard_normal((n_samples, n), dtype=np.float32)
    X *= rng.lognormal(0, 0.5, n).astype(np.float32)
    return X


def network(rng: np.random.Generator, tiny: bool) -> dict[str, np.ndarray]:
    """The layers of the encoder."""
    d, words = (48, 300) if tiny else (WIDTH, WORDS)
    shapes = {"words": (words, d), "places": (d if tiny else PLACES, d)}
    for block in range(2 if tiny else BLOCKS):
        shapes |= {f"block.{block}.{name}": (d, d) for name in ("q", "k", "v", "out")}
        shapes |= {f"block.{block}.up": (4 * d, d), f"block.{block}.down": (d, 4 * d)}
    return {name: weights(rng, *shape) for name, shape in shapes.items()}


def resident(peak: bool) -> int:
    """Bytes of this process: the most of all times, or now."""
    field = "VmHWM" if peak else "VmRSS"
    with open("/proc/self/status", encoding="ascii") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith(field))


def measured(work: Callable[[], Any]) -> dict[str, Any]:
    """Seconds, on the clock and of processors, and bytes before and at most."""
    gc.collect()
    before = resident(peak=False)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak anew from here
    began, spent = time.perf_counter(), time.process_time()
    answer = work()
    seconds, cpu = time.perf_counter() - began, time.process_time() - spent
    peak = resident(peak=True)
    return {"seconds": seconds, "cpu": cpu, "before": before, "peak": peak, "answer": answer}


def one_layer(row: Row, tiny: bool) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    m, n = (64, 96) if tiny else row.shape
    W, X = weights(rng, m, n), inputs(rng, 2048, n)
    H = X.T @ X
    del X
    size = W.nbytes
    if row.method != "dictionary":
        W = W.astype(ml_dtypes.bfloat16)
    small = np.eye(64, dtype=W.dtype)
    layers.factorize(small, row.method, budget=0.5, gram=np.eye(64), **row.options)  # compiles
    found = measured(lambda: layers.factorize(W, row.method, budget=0.3, gram=H, **row.options))
    form = found.pop("answer")
    error = layers.output_error(W, form.to_dense(), H)
    return {**found, "size": size, "error": error, "form": form.summary}


def whole_network(budget: float, tiny: bool) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    net = network(rng, tiny)
    calibration = layers.Calibration()
    for name, W in net.items():
        if name.startswith("block"):  # a table of words is looked up in
            calibration.update(name, inputs(rng, 4 * W.shape[1], W.shape[1]))
    layers.compress(network(rng, tiny=True), budget)  # loads what is compiled, as above
    found = measured(lambda: layers.compress(net, budget, calibration=calibration))
    small = found.pop("answer")
    rows = small.report.rows
    forms = ", ".join(f"{kind} {count}" for kind, count in Counter(r.form for r in rows).items())
    errors = [r.weight_error if r.calibration_error is None else r.calibration_error for r in rows]
    error = float(np.mean(errors))
    return {**found, "size": sum(W.nbytes for W in net.values()), "error": error, "form": forms}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", help=", ".join([*ROWS, *NETWORKS]))
    parser.add_argument("--tiny", action="store_true", help="small layers: to see that it runs")
    parser.add_argument("--here", action="store_true", help="in this process, as JSON")
    args = parser.parse_args()
    names = args.rows or [*ROWS, *NETWORKS]
    if unknown := set(names) - {*ROWS, *NETWORKS}:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    if args.here:
        (name,) = names
        if name in ROWS:
            print(json.dumps(one_layer(ROWS[name], args.tiny)))
        else:
            print(json.dumps(whole_network(NETWORKS[name], args.tiny)))
        return
    table = []
    for name in names:
        command = [sys.executable, __file__, name, "--here", *["--tiny"] * args.tiny]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        what = ROWS[name].what if name in ROWS else f"22.5 million parameters to a {name}"
        limit = ROWS[name].limit if name in ROWS else 300
        peak, before, size = (found[key] for key in ("peak", "before", "size"))
        table.append([
            what, f"{found['seconds']:.1f}", f"{found['cpu']:.1f}", f"{limit}",
            f"{(peak - before) / size:.2f}",
            f"{peak / size:.2f}", f"{found['error']:.3g}", found["form"],
        ])  # fmt: skip
        print(*table[-1], sep=", ", flush=True)
    print(text_table(["what", "s", "of CPU", "at most", "above", "peak", "error", "form"], table))


if __name__ == "__main__":
    main()
