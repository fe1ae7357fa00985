"""The tables of benchmarks/README.md, from results/*.csv: ``python benchmarks/table.py``."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- tables -->", "<!-- /tables -->"

Row = dict[str, str]
Results = dict[str, list[Row]]

TITLES = {
    "lasso": ("One lasso", "evaluated gap"),
    "lasso_path": ("A path of 100 alphas down to max / 100", "worst evaluated gap"),
    "batch_lasso": ("Lasso codes of many signals", "worst evaluated gap"),
    "omp": ("Greedy pursuits", "mean residual norm"),
    "robust_pca": (
        "Low rank plus sparse, on two cores of an AMD EPYC",
        "error of the low-rank part",
    ),
    "truncated_svd": (
        "A truncated SVD, on two cores of an AMD EPYC",
        "error over the optimal one, less 1",
    ),
    "dictionary": ("Dictionaries, on two cores of an AMD EPYC", "held-out objective, or error"),
    "learning_portrait": ("Dictionaries of another photograph", "held-out objective"),
    "learning_ksvd": ("K-SVD on the same patches, and on a quarter", "held-out error"),
    "learning_iteration": ("One iteration of K-SVD, and the coding alone", ""),
    "learning_memory": ("Learning from a memory map, one pass", "peak resident set, MB"),
    "compressed_sensing": ("Compressed sensing, on two cores of an Intel Xeon", "relative error"),
    "convolutional": ("Atoms at every place, 32 of 8 x 8", "held-out objective over that of zero"),
    "first_call": ("The first `Lasso.fit` of a new process", "import before it, s"),
    "memory": ("Codes of a memory map", "peak resident set, MB"),
}


COLUMNS = {
    "count": "nonzeros",
    "largest_count": "at most",
    "misplaced": "misplaced",
    "rank": "rank",
    "residual": "residual",
    "norm": "l1 norm",
    "tolerance": "tolerance given",
}


class Missing(Exception):
    """A measurement that a claim needs is not there."""


class Unmeasured(Missing):
    """There is no row of it at all."""


def read(folder: Path) -> Results:
    """The rows of each file, by its name."""
    results = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            results[path.stem] = list(csv.DictReader(file))
    return results


def reached(row: Row) -> bool:
    """Whether the evaluated gap is at the target, where there is one."""
    return not row["target"] or float(row["value"]) <= float(row["target"])


def seconds(rows: Iterable[Row], solver: str, data: str = "") -> float:
    """The time of the first such row that reached its target."""
    tried = [row for row in rows if row["solver"].startswith(solver) and data in row["data"]]
    for row in tried:
        if reached(row):
            return float(row["seconds"])
    raise Missing if tried else Unmeasured


def against_best(rows: list[Row], peers: Iterable[str]) -> list[float]:
    """For each data set the time of the fastest peer over ours."""
    ratios = []
    for data in dict.fromkeys(row["data"] for row in rows):
        here = [row for row in rows if row["data"] == data]
        times = []
        for peer in peers:
            try:
                times.append(seconds(here, peer))
            except Missing:  # it did not reach the target at any tolerance
                continue
        if times:
            ratios.append(min(times) / seconds(here, "sparsecode"))
    if not ratios:
        raise Missing
    return ratios


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


class Claim(NamedTuple):
    """What is promised, and how the measurements answer it; met when `at_least` or `at_most`."""

    work: str
    text: str
    answer: Callable[[list[Row]], float]
    at_least: float | None = None
    at_most: float | None = None


def ours(algorithm: str, n_threads: int = 2) -> str:
    return f"sparsecode[algorithm={algorithm},n_threads={n_threads}]"


def over(slow: str, fast: str, data: str = "") -> Callable[[list[Row]], float]:
    return lambda rows: seconds(rows, slow, data) / seconds(rows, fast, data)


def precision(rows: list[Row]) -> float:
    return seconds(rows, ours("omp"), "float64") / seconds(rows, ours("omp"), "float32")


def peak(rows: list[Row], dtype: str) -> float:
    """The peak resident set in MB."""
    return max(float(row["value"]) for row in rows if dtype in row["data"])


def ratios(rows: list[Row], slow: str, fast: str, data: str) -> list[float]:
    """The time of one solver over that of another, for each data set whose name begins so."""
    here = dict.fromkeys(row["data"] for row in rows if row["data"].startswith(data))
    if not here:
        raise Missing
    return [seconds(rows, slow, d) / seconds(rows, fast, d) for d in here]


def most_gesdds(rows: list[Row], solver: str, data: str) -> float:
    """The most full decompositions that a split of such data takes the time of."""
    return max(ratios(rows, solver, "gesdd", data))


def least_lead(rows: list[Row], peer: str) -> float:
    """How many times as long a peer takes, on the data where it is least."""
    return min(ratios(rows, peer, PURSUIT, "500 x 500, rank 25"))


def sooner(rows: list[Row], passes: int) -> float:
    """How many times as long SPAMS takes for its held-out objective after so many passes."""
    lasso = [row for row in rows if "lasso" in row["data"]]
    peers = [row for row in lasso if row["solver"] == f"SPAMS, {passes} passes"]
    if not peers:
        raise Missing
    peer = peers[0]
    for row in lasso:
        if row["solver"].startswith("sparsecode") and float(row["value"]) <= float(peer["value"]):
            return float(peer["seconds"]) / float(row["seconds"])
    raise Missing


def error_over(rows: list[Row], slow: str, fast: str, data: str) -> float:
    """The error of one solver over that of another."""
    errors = {
        row["solver"]: float(row["value"])
        for row in rows
        if data in row["data"] and row["solver"] in (slow, fast)
    }
    if len(errors) < 2:
        raise Missing
    return errors[slow] / errors[fast]


def norm_over(rows: list[Row]) -> float:
    """How much larger our l1 norm is than that of SPGL1, at most; both fit the data."""
    norms = {
        (row["data"], row["solver"]): float(row["norm"])
        for row in rows
        if row["data"] in ("cosspike", "gcosspike", "p3poly")
        and row["solver"] in ("sparsecode", "SPGL1")
    }
    excesses = [
        norm / norms[data, "SPGL1"] - 1
        for (data, solver), norm in norms.items()
        if solver == "sparsecode" and (data, "SPGL1") in norms
    ]
    if not excesses:
        raise Unmeasured
    return max(excesses)


def off_the_prediction(rows: list[Row]) -> float:
    """How far the mean squared error is from state evolution in an iteration, at most; relative."""
    return max(abs(float(row["mean"]) / float(row["predicted"]) - 1) for row in rows)


def off_the_curve(rows: list[Row], solver: str) -> float:
    """How far the solver's half-recovery points are from the theory, at most."""
    rows = [row for row in rows if row["solver"] == solver]
    if not rows:
        raise Missing
    return max(abs(float(row["half"]) - float(row["theory"])) for row in rows)


def outside_the_coder(rows: list[Row]) -> float:
    """The time of an iteration of K-SVD that is no coding, over that of the coding; the worst."""
    coding, whole = "sparse_encode beside approximate", "ksvd, approximate"
    return max(ratio - 1 for ratio in ratios(rows, whole, coding, ""))


SPAMS, GEMM = "SPAMS[n_threads=2]", "one product"
CODES = "sparsecode[n_threads=2]"
PURSUIT, PROJECTIONS = (f"sparsecode[method={m}]" for m in ("pcp", "alternating_projections"))
CLAIMS = [
    Claim("omp", "`ols` against SPAMS, two threads", over(SPAMS, ours("ols"), "float64"), 2.5),
    Claim("omp", "`omp` against SPAMS, two threads", over(SPAMS, ours("omp"), "float64"), 3),
    Claim("omp", "`omp` over one product", over(ours("omp"), GEMM, "float64"), None, 4),
    Claim("omp", "`omp`, two threads", over(ours("omp", 1), ours("omp"), "float64"), 1.7),
    Claim("omp", "`ols`, two threads", over(ours("ols", 1), ours("ols"), "float64"), 1.7),
    Claim("omp", "`omp`, float32 against our float64", precision, 1.7),
    Claim("batch_lasso", "lasso codes against SPAMS", over(SPAMS, CODES), 3),
    Claim(
        "lasso",
        "one lasso against the better of celer and skglm, the worst of all",
        lambda rows: min(against_best(rows, ("celer", "skglm"))),
        1,
    ),
    Claim(
        "lasso",
        "the same, geometric mean",
        lambda rows: geometric_mean(against_best(rows, ("celer", "skglm"))),
        1.5,
    ),
    Claim(
        "lasso_path",
        "path against the best of celer and scikit-learn, geometric mean",
        lambda rows: geometric_mean(against_best(rows, ("celer", "scikit-learn"))),
        1.5,
    ),
    *(
        Claim("robust_pca", f"{name}, {size} x {size}, over one gesdd", answer, None, most)
        for name, solver, size, most in (
            ("pursuit", PURSUIT, 1000, 5),
            ("projections", PROJECTIONS, 1000, 1),
            ("pursuit", PURSUIT, 3000, 4),
            ("projections", PROJECTIONS, 3000, 0.5),
        )
        for answer in (partial(most_gesdds, solver=solver, data=f"{size} x {size}"),)
    ),
    *(
        Claim("robust_pca", f"pursuit, 500 x 500, against {peer}", answer, 20)
        for peer in ("tensorly", "SPORCO")
        for answer in (partial(least_lead, peer=peer),)
    ),
    Claim(
        "robust_pca",
        "pursuit, 25,344 x 200, 10 %, seconds",
        lambda rows: max(
            seconds(rows, PURSUIT, data) for data in ("25344 x 200, rank 3, 10", "video, 25344")
        ),
        None,
        15,
    ),
    *(
        Claim("dictionary", f"SPAMS's objective after {passes} passes, sooner", answer, 4)
        for passes in (15, 51)
        for answer in (partial(sooner, passes=passes),)
    ),
    Claim(
        "dictionary",
        "K-SVD against PyPI `ksvd`, 5,000 patches",
        over("ksvd", "sparsecode[method=ksvd]"),
        20,
    ),
    Claim(
        "compressed_sensing",
        "basis pursuit through cosines, against SPGL1",
        over("SPGL1", "sparsecode", "quarter"),
        3,
    ),
    Claim(
        "compressed_sensing",
        "the same with noise",
        over("SPGL1", "sparsecode", "noise"),
        2,
    ),
    Claim(
        "compressed_sensing",
        "error of SPGL1 over ours with debiasing",
        partial(error_over, slow="SPGL1", fast="sparsecode-debiased", data="noise"),
        2,
    ),
    Claim(
        "compressed_sensing",
        "1,000 signals, against scikit-learn's OMP",
        over("scikit-learn", "sparsecode-omp", "signals"),
        20,
    ),
    Claim(
        "compressed_sensing",
        "l1 norm over that of SPGL1, the worst of Sparco's, less 1",
        norm_over,
        None,
        1e-4,
    ),
    Claim(
        "phase_transition",
        "basis pursuit, off the curve of Donoho and Tanner",
        partial(off_the_curve, solver="basis_pursuit"),
        None,
        0.02,
    ),
    Claim(
        "learning_portrait",
        "the same after 15 passes over another photograph",
        partial(sooner, passes=15),
        4,
    ),
    Claim(
        "learning_ksvd",
        "K-SVD against PyPI `ksvd`, 20,000 patches",
        over("ksvd", "sparsecode", "20,000"),
        20,
    ),
    Claim(
        "learning_ksvd",
        "its error there over that of PyPI `ksvd`",
        partial(error_over, slow="sparsecode", fast="ksvd", data="20,000"),
        None,
        1,
    ),
    Claim(
        "learning_iteration",
        "K-SVD outside the coder, over the coder, 200,000 patches",
        outside_the_coder,
        None,
        1,
    ),
    Claim(
        "learning_memory",
        "learning from a million patches, peak resident set, MB",
        partial(peak, dtype="float"),
        None,
        1000,
    ),
    Claim(
        "state_evolution",
        "error of `amp` in an iteration, off its prediction",
        off_the_prediction,
        None,
        0.05,
    ),
    Claim(
        "truncated_svd",
        "rank 256 against the better of randomized_svd and fbpca",
        lambda rows: min(against_best(rows, ("scikit-learn", "fbpca"))),
        1,
    ),
    Claim(
        "first_call",
        "first `Lasso.fit`, cache warm, seconds",
        lambda rows: seconds(rows, "sparsecode", "cache warm"),
        None,
        1,
    ),
    Claim(
        "omp",
        "OMP of one signal, seconds",
        lambda rows: seconds(rows, "sparsecode-one[algorithm=omp]"),
        None,
        0.12,
    ),
    Claim(
        "memory",
        "a million patches of float64, peak resident set, MB",
        lambda rows: peak(rows, "float64"),
        None,
        600,
    ),
    Claim(
        "memory",
        "the same, float32",
        lambda rows: peak(rows, "float32"),
        None,
        600,
    ),
]


def number(text: str | float) -> str:
    """A count as it is; otherwise three digits, with an exponent where it is tiny."""
    if isinstance(text, str) and (text == "" or text.isdigit()):
        return text
    value = float(text)
    return f"{value:.1e}" if 0 < abs(value) < 1e-4 else f"{value:.3g}"


def markdown(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def claims(results: Results) -> str:
    body = []
    for work, text, answer, at_least, at_most in CLAIMS:
        if work not in results:
            continue
        wanted = f"at least {at_least:g}" if at_least is not None else f"at most {at_most:g}"
        try:
            value = answer(results[work])
        except Unmeasured:
            body.append([text, wanted, "not measured", "**no**"])
            continue
        except Missing:
            body.append([text, wanted, "target not reached", "**no**"])
            continue
        met = value >= at_least if at_least is not None else value <= (at_most or 0)
        body.append([text, wanted, number(value), "yes" if met else "**no**"])
    return markdown(["", "wanted", "measured", "met"], body)


def side_by_side(rows: list[Row], metric: str) -> str:
    """One line a solver and data set; a gap above the target is in bold."""
    shown = {key: name for key, name in COLUMNS.items() if any(row.get(key) for row in rows)}
    head = ["data", "solver", "seconds", metric, *shown.values(), "runs"]
    body = []
    for row in rows:
        value = number(row["value"])
        line = [row["data"], row["solver"], number(row["seconds"])]
        line += [value if reached(row) else f"**{value}**"]
        body.append([*line, *[number(row.get(key) or "") for key in shown], row["runs"]])
    return markdown(head, body)


def transitions(rows: list[Row]) -> str:
    """Where one half of the signals is recovered, beside the theory."""
    head = ["solver", "length", "draws a cell", "m / n", "theory, k / m", "one half", "95 % band"]
    keys = ("solver", "n", "trials", "delta", "theory", "half")
    body = [[*(row[key] for key in keys), f"{row['low']} to {row['high']}"] for row in rows]
    return markdown(head, body)


def evolution(rows: list[Row]) -> str:
    """The error of message passing in each iteration, beside its prediction."""
    head = ["length", "noise", "runs", "iteration", "predicted", "mean", "standard error"]
    keys = ("n", "sigma", "runs", "iteration", "predicted", "mean", "standard_error")
    return markdown(head, [[number(row[key]) for key in keys] for row in rows])


def tables(results: Results) -> str:
    """All of them, as they stand between the two comments in the README."""
    machine = ", ".join(f"{row['what']} {row['is']}" for row in results.get("machine", []))
    parts = [f"The latest of them were measured on: {machine}."]
    if any(work in results for work, *_ in CLAIMS):
        parts.append(claims(results))
    for work, (title, metric) in TITLES.items():
        if work in results:
            parts += [f"### {title}", side_by_side(results[work], metric)]
    if "phase_transition" in results:
        parts += ["### How many nonzeros are recovered", transitions(results["phase_transition"])]
    if "state_evolution" in results:
        parts += ["### Message passing, as predicted", evolution(results["state_evolution"])]
    return "\n\n".join(parts)


def main() -> None:
    """Put the tables into the README, or, given a folder of results, print those of that."""
    if len(sys.argv) > 1:
        print(tables(read(Path(sys.argv[1]))))
        return
    readme = HERE / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    shown = tables(read(HERE / "results"))
    readme.write_text(f"{before}{BEGIN}\n\n{shown}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
