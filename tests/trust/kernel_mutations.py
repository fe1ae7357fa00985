"""Do the tests of the kernels notice a sign or a constant that is wrong?

``NUMBA_DISABLE_JIT=1 python tests/trust/kernel_mutations.py [files...]`` makes one change
at a time in the code of a kernel, runs the tests marked `kernels` and says what they made of it:
those listed here, or with ``--drawn 100`` so many that `drawn_mutations` draws.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import re
import resource
from pathlib import Path
from types import CodeType

import numba
import pytest
from drawn_mutations import drawn

LIMIT = 20  # seconds of processor time: a change may make a loop endless
BROKEN = 70  # the status of a process that came to no outcome
TESTS = Path(__file__).parents[1] / "solvers" / "test_kernels.py"


# By file: code that stands there once, and between << and >> what is wrong in it instead.
MUTATIONS = {
    "clusters": [
        "cost[i] = <<-|>>(wx[i] * wx[i] / mass)",
        "moment = wx[middle] <<-|+>> wx[j]",
        "range(low, min(high, middle - 1)<< + 1|>>)",
    ],
    "coordinate": [
        "gradient.dtype.type(<<0|1>>.7)",
        "- w2 * p2[k] <<-|+>> w3 * p3[k]",
        "gradient[k] <<-|+>>= w0 * p0[k]",
        "range(K - K % 4<<| + 1>>, K)",
        "max(energy - wb <<-|+>> wg, 0.0)",
        "new = (target <<+|->> alpha) * inverse[l]",
        "else b[l] <<+|->> alpha",
        "x[i] <<-|+>>= row[j] * x[j]",
        "new = (target <<+|->> threshold[k]) / curvature",
        "old == 0 and (sweep % <<2 == 1|1 == 0>> or",
    ],
    "dictionary": [
        "total[f] <<+|->>= g * x[f]",
        "r[f] <<-|+>>= g * d[f]\n",
        "total[f] <<-|+>>= weight * D[j, f]",
        "g <<-|+>>= values[p] * shares[atoms[p]]",
        "total[f] <<+|->>= weight * x[f]",
        "min(g <<+|->> alpha, g * 0)",
        "r[f] <<-|+>>= g * d[f] * seen[f]",
        "new[f] = D[k, f] <<+|->> gradient",
        "gradient[j, f] <<-|+>>= weight * new[f]",
    ],
    "greedy": [
        "a[k] = a[k] <<-|+>> step * row[k]\n                        left",
        "left[k] = left[k] <<-|+>> row",
        "cutoff[k] = <<10|>>0 * eps",
        "energy <<-|+>>= np.float64(step)",
        "row[k] = row[k] - w0 * p0[k] <<-|+>> w1 * p1[k] - w2",
        "row[k] = row[k] - w0 * p0[k] <<-|+>> w1 * p1[k]\n",
        "c <<-|+>>= R[l, j] * code[l]",
        "products[k] = products[k] <<+|->> weight",
    ],
    "grids": [
        "np.rint(x[j] * r <<+|->> o)",
        "cross <<+|->>= weight",
        "v <<+|->>= miss[j] * asked[j]",
        "rounded = steps[i, k] * (code <<-|+>> o)",
    ],
    "homotopy": [
        "pace = <<-|>>signs[p] * d[p]",
        "max(abs(c[k] <<-|+>> t * a[k]) - blur",
        "pace = 1 <<+|->> blocked_sign",
        "ahead = alpha <<+|->> blocked_sign",
        "rest = alpha * alpha * slope <<-|+>> (energy",
        "row[q] <<+|->>= weight * v[q]",
        "row[q] <<-|+>>= weight * gone[q]",
        "<<+|->> d3 * row3[k]",
        "b[members[p]] <<-|+>> alpha * signs[p]",
        "max(alpha * l1 <<-|+>> s * pairing, 0.0)",
        "new = (point <<+|->> alpha) / curvature",
        "c[l] <<-|+>>= (new - old) * gram[k, l]",
        "rest = alpha * alpha <<+|->> (energy_target",
    ],
    "positive": [
        "a <<-|+>>= code[j] * gram[support[j], k]",
        "value <<-|+>>= factor[r, p] * factor[c, p]",
        "value > <<1e-|-1e>>10 * gram",
        "code[j] <<+|->>= step * (fit[j] - code[j])",
        "support[at - 1] <<>|<>> place",
    ],
    "split": [
        "n_outliers += abs(x[j] <<-|+>> l[j]) > cut",
        "energy += <<|2 * >>r * r if within",
        "v = mu * t <<+|->> y[j]",
        "(l[j] + r) <<+|->> clipped / next_mu",
        "absolute += bound[j] * abs(r <<-|+>> e)",
        "turn <<+|->>= back * step",
        "ahead, most = l[j] <<+|->> momentum",
    ],
    "subspace": [
        "sign = <<1.0 if few else -|-1.0 if few else >>1.0",
        "residual[j] = x[j] <<-|+>> _product",
        "gradient[k] = <<-|>>ridge * z[k]",
        "total <<-|+>>= F[k, p] * F[l, p]",
        "damping * gram[k, k] <<+|->> ridge",
        "least = <<1e-|-1e>>9 if ridge == 0",
    ],
}


def changed(kernels: str, mutation: str) -> CodeType:
    """The code of the file with the mutation in it, which has to stand there once and to compile.

    It is for the parent to make: in a process whose failure is looked for, its error would be one.
    """
    module = importlib.import_module(f"sparsecode.solvers._kernels.{kernels}")
    source = inspect.getsource(module)
    before, old, new, after = re.fullmatch(r"(.*)<<(.*)\|(.*)>>(.*)", mutation, re.DOTALL).groups()
    if source.count(before + old + after) != 1:
        raise ValueError(f"{mutation} does not stand once in {kernels}.py")
    source = source.replace(before + old + after, before + new + after)
    return compile(source, module.__file__, "exec")


def mutate(kernels: str, code: CodeType) -> None:
    """Give the functions of the file, wherever they were imported to, the changed code."""
    module = importlib.import_module(f"sparsecode.solvers._kernels.{kernels}")
    names: dict[str, object] = {}
    exec(code, names)
    for name, function in vars(module).items():
        if inspect.isfunction(function) and function.__module__ == module.__name__:
            function.__code__ = names[name].__code__


def noticed(session: pytest.Session, kernels: str = "", mutation: str = "") -> str:
    """Run the tests in a process of their own: `failed`, `hangs` or `passed`."""
    code = changed(kernels, mutation) if mutation else None
    child = os.fork()
    if child == 0:
        status = BROKEN
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            if code is not None:
                mutate(kernels, code)
            for item in session.items:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
                if session.testsfailed:
                    break
            status = int(bool(session.testsfailed))
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "hangs"
    if os.WEXITSTATUS(status) == BROKEN:
        raise RuntimeError(f"the tests could not be run with {mutation!r} in {kernels}.py")
    return "failed" if os.WEXITSTATUS(status) else "passed"


class Tried:
    """A plugin that runs the tests once for each mutation, in place of once."""

    def __init__(self, mutations: list[tuple[str, str]]) -> None:
        self.mutations, self.survivors = mutations, 0

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Fork before each mutation: what is imported and collected is so once."""
        if noticed(session) != "passed":
            raise SystemExit("the tests fail on the kernels as they are")
        for kernels, mutation in self.mutations:
            outcome = noticed(session, kernels, mutation)
            self.survivors += outcome == "passed"
            print(f"{outcome:7} {kernels:10} {' '.join(mutation.split())}", flush=True)
        return True


def main() -> None:
    """Try them all; exit with an error if the tests pass with one of them, or fail with none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", help="all by default")
    parser.add_argument("--drawn", type=int, metavar="N", help="draw so many in all instead")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    options = parser.parse_args()
    if not numba.config.DISABLE_JIT:
        raise SystemExit("set NUMBA_DISABLE_JIT=1: what is compiled cannot be changed")
    files = options.files or list(MUTATIONS)
    mutations = [(file, mutation) for file in files for mutation in MUTATIONS[file]]
    if options.drawn is not None:
        mutations = drawn(files, options.drawn, options.seed)
    tried = Tried(mutations)
    quiet = ["-q", "-s", "-n", "0", "-p", "no:cacheprovider"]
    if pytest.main([*quiet, str(TESTS)], plugins=[tried]) or tried.survivors:
        raise SystemExit(f"{tried.survivors} changes pass the tests")


if __name__ == "__main__":
    main()
