"""The benchmarks' own laws, without the peers and without benchopt."""

import ast
import csv
import importlib.util
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
FOLDERS = sorted(path.parent.name for path in BENCHMARKS.glob("*/objective.py"))


@pytest.fixture
def table():
    spec = importlib.util.spec_from_file_location("table", BENCHMARKS / "table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(solver, seconds, value="1e-10", data="200 x 7000", target="1e-08"):
    row = {"data": data, "solver": solver, "seconds": str(seconds), "value": value}
    return row | {"runs": "5", "count": "", "largest_count": "", "target": target, "tolerance": ""}


def test_the_readme_shows_the_results(table):
    readme = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    shown = readme.split(table.BEGIN)[1].split(table.END)[0]
    assert shown.strip() == table.tables(table.read(BENCHMARKS / "results"))


def test_a_peer_short_of_the_target_is_not_the_best(table):
    rows = [row("sparsecode", 1), row("celer", 0.5, value="1e-6"), row("skglm", 3)]
    assert table.against_best(rows, ("celer", "skglm")) == [3]


def test_the_best_peer_is_taken_for_each_design(table):
    rows = [row("sparsecode", 1), row("celer", 2), row("skglm", 3)]
    rows += [row("sparsecode", 1, data="5000 x 2000"), row("skglm", 8, data="5000 x 2000")]
    ratios = table.against_best(rows, ("celer", "skglm"))
    assert ratios == [2, 8]
    assert table.geometric_mean(ratios) == pytest.approx(4)


def test_ours_short_of_the_target_meets_no_claim(table):
    rows = [row("sparsecode", 0.001, value="1e-6"), row("celer", 2), row("skglm", 3)]
    shown = table.claims({"lasso": rows})
    assert shown.count("target not reached | **no**") == 2
    assert "yes" not in shown


def test_a_claim_that_is_missed_is_said_to_be(table):
    slow = {"lasso": [row("sparsecode", 4), row("celer", 2), row("skglm", 3)]}
    fast = {"lasso": [row("sparsecode", 1), row("celer", 2), row("skglm", 3)]}
    assert table.claims(slow).count("**no**") == 2
    assert table.claims(fast).count("| yes |") == 2


def test_a_gap_above_the_target_is_in_bold(table):
    shown = table.side_by_side([row("celer", 2, value="1e-6"), row("skglm", 3)], "gap")
    assert re.findall(r"\*\*(.*?)\*\*", shown) == ["1.0e-06"]


def test_the_two_lasso_benchmarks_have_the_same_data():
    one, path = (
        (BENCHMARKS / f / "datasets/correlated.py").read_text() for f in ("lasso", "lasso_path")
    )
    assert one == path


def classes(path: Path) -> dict[str, ast.ClassDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_of_a_benchmark_holds_its_class(folder):
    assert "Objective" in classes(BENCHMARKS / folder / "objective.py")
    for kind in ("Solver", "Dataset"):
        files = sorted((BENCHMARKS / folder / f"{kind.lower()}s").glob("*.py"))
        assert files
        for file in files:
            assert kind in classes(file), file
    assert (BENCHMARKS / folder / "solvers/sparsecode.py").exists()


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_bench_extra_brings_every_peer(folder):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    brought = extras["dependencies"] + extras["optional-dependencies"]["bench"] + ["sparsecode"]
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in brought}
    for file in (BENCHMARKS / folder / "solvers").glob("*.py"):
        needed = set(re.findall(r'"pip::([\w-]+)"', file.read_text(encoding="utf-8")))
        assert needed
        assert needed <= names, file


def measured(name):
    with (BENCHMARKS / f"results/{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_picture_has_points_of_every_lasso_solver():
    rows = measured("lasso_gap_against_time")
    files = {path.stem for path in (BENCHMARKS / "lasso/solvers").glob("*.py")}
    for design in {row["data"] for row in rows}:
        drawn = {row["solver"].replace("-", "_") for row in rows if row["data"] == design}
        assert drawn == files
    assert np.all(np.array([float(row["seconds"]) for row in rows]) > 0)


@pytest.mark.parametrize("signs", ["random", "coherent"])
@pytest.mark.parametrize("method", ["pursuit", "projections"])
def test_the_phase_diagram_goes_from_all_to_nothing(signs, method):
    rows = [r for r in measured("phase_diagram") if (r["signs"], r["method"]) == (signs, method)]
    cells = {(int(r["rank"]) / int(r["n"]), float(r["density"])): r for r in rows}
    shares = [k / 20 for k in range(1, 11)]
    assert sorted(cells) == [(rank, density) for rank in shares for density in shares]
    assert cells[0.05, 0.05]["recovered"] == cells[0.05, 0.05]["trials"]
    assert cells[0.5, 0.5]["recovered"] == "0"


def test_basis_pursuit_recovers_as_the_theory_says():
    halves, cells = (
        [row for row in measured(name) if row["solver"] == "basis_pursuit"]
        for name in ("phase_transition", "phase_transition_cells")
    )
    assert [row["delta"] for row in halves] == ["0.1", "0.3", "0.5", "0.7", "0.9"]
    for row in halves:
        counts = [int(cell["recovered"]) for cell in cells if cell["delta"] == row["delta"]]
        assert min(counts) < int(row["trials"]) / 4 < int(row["trials"]) / 2 < max(counts)
        assert float(row["low"]) < float(row["half"]) < float(row["high"])
        assert float(row["low"]) - 0.01 < float(row["theory"]) < float(row["high"]) + 0.01


@pytest.mark.parametrize("method", ["ksvd", "ksvd, exact", "mod", "online"])
def test_a_known_dictionary_was_recovered_at_every_noise(method):
    rows = [row for row in measured("recovery") if row["method"] == method]
    assert [row["snr"] for row in rows] == ["", "30", "20", "10"]
    for row in rows:
        assert row["trials"] == "50"
        assert float(row["one_to_one"]) <= float(row["authors_rule"])
    assert float(rows[0]["one_to_one"]) >= 0.95


def test_a_dictionary_is_as_good_as_spams_sooner(table):
    def row(solver, seconds, value):
        return {"data": "lasso", "solver": solver, "seconds": seconds, "value": value}

    rows = [row("SPAMS, 15 passes", "14", "0.13"), row("sparsecode, 1 passes", "1", "0.14")]
    with pytest.raises(table.Missing):
        table.sooner(rows, 15)
    assert table.sooner([*rows, row("sparsecode, 2 passes", "2", "0.13")], 15) == 7


def test_what_an_iteration_takes_beside_its_coding(table):
    data = ("200,000 patches, float64", "200,000 patches, float32")
    rows = [row("sparse_encode beside approximate", 2, data=d, target="") for d in data]
    rows += [
        row("ksvd, approximate", s, data=d, target="") for s, d in zip((3, 5), data, strict=True)
    ]
    assert table.outside_the_coder(rows) == 1.5


def test_errors_are_compared_on_the_same_patches(table):
    rows = [row("ksvd", 1, "0.4", "20,000 patches"), row("sparsecode", 1, "0.2", "20,000 patches")]
    rows += [row("ksvd", 1, "0.1", "5,000 patches"), row("sparsecode", 1, "0.1", "5,000 patches")]
    assert table.error_over(rows, "sparsecode", "ksvd", "20,000") == 0.5
    with pytest.raises(table.Missing):
        table.error_over(rows, "sparsecode", "ksvd", "100")


def test_each_peer_is_compared_where_it_is_nearest(table):
    ours = "sparsecode[method=pcp]"
    easy, hard = (f"500 x 500, rank 25, {share} % errors" for share in (5, 10))
    rows = [row(ours, 1, data=easy), row("tensorly", 30, data=easy)]
    rows += [row(ours, 2, data=hard), row("tensorly", 50, data=hard)]
    rows += [row(ours, 2, data="500 x 500, rank 5, 10 % small errors")]
    assert table.least_lead(rows, "tensorly") == 25
    with pytest.raises(table.Missing):
        table.least_lead(rows, "SPORCO")


def test_a_count_is_shown_to_the_last_digit(table):
    assert table.number("450001") == "450001"
    assert table.number("450001.5") == "4.5e+05"
