"""``sparsecode demo``: a trained network, compressed by every method, from data to files."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsecode._files import check_path
from sparsecode.cli._terminal import Progress, print_table, say

if TYPE_CHECKING:
    from sparsecode.datasets import DigitsNetwork
    from sparsecode.layers import Bits, Calibration, CompressedNetwork, Network

POINTS = 0.02  # of accuracy: a method that loses more is not good enough
EVERY = "all"  # the automatic choice among the methods


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "demo",
        help="train a small network, compress it by every method, and compare",
        description="Train a small network on scikit-learn's digits, compress it by every method, "
        "and say what each costs and loses, in a table and in a page with pictures.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", default="sparsecode-demo", help="default %(default)s"
    )
    parser.add_argument(
        "--budget",
        type=float,
        default=0.25,
        help="size of the compressed files as a fraction of the tensors' bytes; default 0.25",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of split, training, methods; default 0"
    )
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class Outcome:
    """What became of one method; `small` is None where the budget is too small for it."""

    method: str
    small: CompressedNetwork | None
    n_bytes: int
    accuracy: float
    intact: bool  # what is read back is what was written, in the bytes that were predicted


def run(args: argparse.Namespace) -> int:
    """Train, compress, write, compare."""
    from sparsecode._validation import check_int, check_real
    from sparsecode.cli._demo_page import demo_page
    from sparsecode.datasets import load_digits_network
    from sparsecode.layers import FAMILIES, Calibration, Network
    from sparsecode.layers.html import write_page

    check_real(args.budget, "--budget", low=0, high=1, open_low=True)
    check_int(args.seed, "--seed", low=0, high=2**32 - 1)
    folder = _folder(args.output)
    methods = [*(name for name in FAMILIES if name != "dense"), EVERY]
    with Progress("training a network on digits") as progress:
        digits = load_digits_network(random_state=args.seed)
        network = Network(digits.network)
        _write_inputs(folder, network, digits)
        moments = [
            Calibration.from_arrays(inputs)
            for inputs in (digits.calibration_inputs, digits.heldout_inputs)
        ]
        outcomes = []
        for method in methods:
            progress.stage(f"compressing by {_named(method)}")
            outcomes.append(_outcome(method, network, moments, digits, folder, args, progress))
        if not any(outcome.small for outcome in outcomes):
            raise ValueError(
                f"no method stores the network in {args.budget:.2%} of its bits; raise --budget"
            )
        progress.stage("drawing pictures")
        header, rows = comparison(outcomes, digits.accuracy)
        page = demo_page(
            digits=digits,
            calibration=moments[0],
            budget=args.budget,
            table=(header, rows),
            verdicts=verdicts(outcomes, digits.accuracy),
            findings=findings(outcomes, digits.accuracy),
            commands=_next_steps(folder),
        )
        write_page(folder / "report.html", page)
    print_table(header, rows)
    say("bits by component; errors: squared, relative, mean over the layers")
    say()
    say("\n".join(findings(outcomes, digits.accuracy)))
    say(f"The page with pictures is {folder / 'report.html'}; the files are beside it. To go on:")
    say("\n".join(f"  {command}" for command in _next_steps(folder)))
    return 0 if all(outcome.small and outcome.intact for outcome in outcomes) else 1


def comparison(
    outcomes: Sequence[Outcome], original_accuracy: float
) -> tuple[list[str], list[list[str]]]:
    """The one table: a row a method."""
    from sparsecode.layers.report import format_error

    parts = {
        outcome.method: _components(outcome.small.report.bits)
        for outcome in outcomes
        if outcome.small is not None
    }
    used = [
        name
        for name in _components_names()
        if any(components[name] for components in parts.values())
    ]
    rows = []
    for outcome in outcomes:
        before = f"{original_accuracy:.1%}"
        if outcome.small is None:
            rows.append([outcome.method, *["-"] * (len(used) + 4), before, "-"])
            continue
        report = outcome.small.report
        rows.append(
            [
                outcome.method,
                *(f"{parts[outcome.method][name]:,}" for name in used),
                f"{outcome.n_bytes:,}",
                format_error(report.mean_error("weight_error")),
                format_error(report.mean_error("calibration_error")),
                format_error(report.mean_error("heldout_error")),
                before,
                f"{outcome.accuracy:.1%}",
            ]
        )
    errors = ["weight error", "calibration error", "held-out error"]
    accuracy = ["accuracy before", "accuracy after"]
    return ["method", *used, "bytes on disk", *errors, *accuracy], rows


def findings(outcomes: Sequence[Outcome], original_accuracy: float) -> list[str]:
    """What the table says, in words."""

    def named(which: Sequence[Outcome]) -> str:
        return ", ".join(f"{o.method} ({o.accuracy:.1%})" for o in which) or "none"

    done = [outcome for outcome in outcomes if outcome.small is not None]
    ranked = sorted(done, key=lambda outcome: -outcome.accuracy)
    good = [outcome for outcome in ranked if _is_good(outcome, original_accuracy)]
    lines = [
        f"The original network is right on {original_accuracy:.1%} of the held-out images.",
        f"Within {100 * POINTS:.0f} points of that: {named(good)}.",
        f"Not within {100 * POINTS:.0f} points: {named([o for o in ranked if o not in good])}.",
    ]
    if len(done) < len(outcomes):
        failed = ", ".join(outcome.method for outcome in outcomes if outcome.small is None)
        lines.append(f"Not possible in so few bits: {failed}.")
    broken = ", ".join(outcome.method for outcome in done if not outcome.intact)
    lines.append(
        f"NOT the same network when read back, or not the bytes that were predicted: {broken}."
        if broken
        else "Read back, every file gives the same network, and takes the bytes predicted for it."
    )
    return lines


def verdicts(outcomes: Sequence[Outcome], original_accuracy: float) -> list[str]:
    """What to think of each method, in a few words."""
    best = max((outcome.accuracy for outcome in outcomes if outcome.small), default=0.0)
    within = f"within {100 * POINTS:.0f} points"
    words = []
    for outcome in outcomes:
        if outcome.small is None:
            words.append("not possible")
        elif _is_good(outcome, original_accuracy):
            words.append(f"{within}, best" if outcome.accuracy == best else within)
        else:
            words.append(f"not {within}")
    return words


def _outcome(
    method: str,
    network: Network,
    moments: Sequence[Calibration],
    digits: DigitsNetwork,
    folder: Path,
    args: argparse.Namespace,
    progress: Progress,
) -> Outcome:
    """Compress by one method, write, read back, and classify with what was read."""
    from sparsecode.datasets import digits_network_accuracy
    from sparsecode.layers import BudgetError, compress, read_compressed

    path = folder / f"{file_name(method)}.safetensors"
    try:
        small = compress(
            network,
            args.budget,
            methods=method,
            calibration=moments[0],
            heldout=moments[1],
            random_state=args.seed,
            progress=progress,
        )
    except BudgetError:
        path.unlink(missing_ok=True)  # of an earlier run: it would belong to no row
        return Outcome(method, None, 0, float("nan"), intact=True)
    small.write(path)
    again, n_bytes = read_compressed(path), path.stat().st_size
    same = again.factorizations == small.factorizations and again.to_dense() == small.to_dense()
    accuracy = digits_network_accuracy(again.to_dense(), digits.X_test, digits.y_test)
    return Outcome(method, small, n_bytes, accuracy, same and 8 * n_bytes == small.bits)


def file_name(method: str) -> str:
    """The method's name in letters that any file system takes.

    Examples
    --------
    >>> from sparsecode.cli.demo import file_name
    >>> file_name("low_rank+sparse")
    'low_rank_plus_sparse'
    """
    return method.replace("+", "_plus_")


def _named(method: str) -> str:
    return "every method, the best for each layer" if method == EVERY else method


def _is_good(outcome: Outcome, original_accuracy: float) -> bool:
    rounding = 1e-9
    return outcome.small is not None and outcome.accuracy >= original_accuracy - POINTS - rounding


def _components_names() -> list[str]:
    return ["values", "positions", "codebook", "scales", "container"]


def _components(bits: Bits) -> dict[str, int]:
    """Bits by what a reader of a table cares about."""
    return {
        "values": bits.values,
        "positions": bits.mask + bits.indices + bits.pointers,
        "codebook": bits.codebook,
        "scales": bits.scales,
        "container": bits.container,
    }


def _folder(name: str) -> Path:
    folder = check_path(name, "--output")
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; name a folder with -o")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_inputs(folder: Path, network: Network, digits: DigitsNetwork) -> None:
    from sparsecode.layers.formats import write_tensors

    network.write(folder / "original.safetensors")
    write_tensors(folder / "calibration.npz", digits.calibration_inputs)
    write_tensors(folder / "heldout.npz", digits.heldout_inputs)


def _next_steps(folder: Path) -> list[str]:
    original, calibration, small, dense = (
        shlex.quote(str(folder / name))
        for name in ("original.safetensors", "calibration.npz", "small.safetensors", "dense.npz")
    )
    return [
        f"sparsecode inspect {original}",
        f"sparsecode compress {original} --calibration {calibration} -o {small}",
        f"sparsecode expand {small} -o {dense}",
    ]
