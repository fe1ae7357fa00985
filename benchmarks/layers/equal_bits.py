"""Every family at equal bits on a transformer's layers: ``python benchmarks/layers/equal_bits.py``.

On the file that `transformer.py` writes. ``frontier``: the error of each family against the bits
that it takes, the mean of the logarithm over the layers. ``rounding``: compressed to an eighth of
float32 by all families, each layer's error over that of 4-bit numbers in groups of 64, 4.25 bits a
weight, rounded to the nearest, and that of the best family in as many bits. ``mixed``: a twelfth of
float32, all families against each alone. Errors are of the outputs, squared and relative.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from sparsecode import layers
from sparsecode.layers.report import text_table

SHARES = (1 / 16, 1 / 12, 1 / 8, 1 / 6, 1 / 4)
ROUNDED = 4.25 / 32  # of float32: 4 bits, and 16 for the scale of 64
FAMILIES = [name for name in layers.FAMILIES if name != "dense"]


def moments(file: dict[str, np.ndarray], text: str, names: list[str]) -> layers.Calibration:
    return layers.Calibration.from_arrays({name: file[f"{text}/{name}"] for name in names})


def frontier(
    network: dict[str, np.ndarray], calibration: layers.Calibration, heldout: layers.Calibration
) -> str:
    """The geometric mean of the errors; a dash where a layer has no such form."""
    fronts = layers.frontier(network, calibration=calibration, shares=SHARES)
    rows = []
    for family in FAMILIES:
        cells = []
        for share in SHARES:
            errors = [
                min((p.error for p in front.points if p.method == family and p.share <= share),
                    default=math.nan)
                for front in fronts.values()
            ]  # fmt: skip
            mean = float(np.exp(np.mean(np.log(errors))))
            cells.append("-" if math.isnan(mean) else f"{mean:.2g}")
        rows.append([family, *cells])
    return text_table(["family", *(f"1/{1 / share:.0f}" for share in SHARES)], rows)


def rounding(
    network: dict[str, np.ndarray], calibration: layers.Calibration, heldout: layers.Calibration
) -> str:
    """Ours at an eighth over rounding in a little more, layer by layer."""
    small = layers.compress(network, 1 / 8, calibration=calibration, heldout=heldout)
    fronts = layers.frontier(network, calibration=calibration, shares=(ROUNDED,))
    options = {"bits": 4, "group_size": 64, "rounding": "nearest"}
    rows = []
    for row in small.report.rows:
        W, share = network[row.name], row.bits.total / row.original_bits
        rounded = layers.factorize(W, "uniform", budget=ROUNDED, **options).to_dense()
        errors = (row.calibration_error, calibration), (row.heldout_error, heldout)
        ratios = [
            f"{error / layers.output_error(W, rounded, text.gram(row.name)):.2f}"
            for error, text in errors
        ]
        best = min(p.error for p in fronts[row.name].points if p.share <= ROUNDED)
        alone = best / layers.output_error(W, rounded, calibration.gram(row.name))
        rows.append([row.name, f"{alone:.2f}", *ratios, f"{share:.3f}", row.form, row.summary])
    titles = ["layer", "at its bits", "calibration", "held out", "share", "form", "sizes"]
    return text_table(titles, rows)


def mixed(
    network: dict[str, np.ndarray], calibration: layers.Calibration, heldout: layers.Calibration
) -> str:
    """All families and each alone, bits allocated over the layers."""
    rows = []
    for methods in ("all", *FAMILIES):
        try:
            small = layers.compress(
                network, 1 / 12, methods=methods, calibration=calibration, heldout=heldout
            )
        except layers.BudgetError:
            rows.append([methods, "-", "-"])
            continue
        report = small.report
        errors = (report.mean_error(f"{text}_error") for text in ("calibration", "heldout"))
        rows.append([methods, *(f"{error:.3g}" for error in errors)])
    return text_table(["families", "calibration", "held out"], rows)


TABLES = {"frontier": frontier, "rounding": rounding, "mixed": mixed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("file", help="what transformer.py wrote")
    parser.add_argument("--match", default="blocks.", help="how the layers' names begin")
    args = parser.parse_args()
    with np.load(args.file, allow_pickle=False) as archive:
        file = dict(archive)
    names = [name for name, W in file.items() if name.startswith(args.match) and W.ndim == 2]
    network = {name: file[name] for name in names}
    texts = (moments(file, text, names) for text in ("calibration", "heldout"))
    print(TABLES[args.table](network, *texts))


if __name__ == "__main__":
    main()
