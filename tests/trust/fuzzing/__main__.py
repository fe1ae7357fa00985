"""Fuzz the readers: ``python -m fuzzing [--seconds 20] [--seed 0] [names...]``."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

READERS = (
    *("npz", "safetensors", "onnx", "recipe", "inputs", "checkpoint", "matrix", "cells"),
    "digits",
)


def main() -> None:
    """Run each reader under atheris; print how often it ran and what was found."""
    parser = argparse.ArgumentParser(prog="fuzzing", description=__doc__)
    parser.add_argument("names", nargs="*", help="readers; all by default")
    parser.add_argument("--seconds", type=int, default=20, help="for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="readers at a time")
    parser.add_argument("--findings", help="a folder to keep what was found, and a corpus, in")
    options = parser.parse_args()
    findings = Path(options.findings or tempfile.mkdtemp(prefix="sparsecode-findings-"))

    def fuzz(name: str) -> bool:
        task = [name, str(options.seconds), str(options.seed), str(findings)]
        done = subprocess.run(
            [sys.executable, "-m", "fuzzing.engine", *task], capture_output=True, text=True
        )
        count = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
        executed = int(count[1]) if count else 0
        told = f"{name}: {executed} executions"
        if done.returncode == 0 and executed:
            print(f"{told}, nothing found", flush=True)
            return True
        what = "FOUND" if executed else "NOT FUZZED"
        print(f"{told}, {what}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}", flush=True)
        return False

    with ThreadPoolExecutor(options.jobs) as pool:
        if not all(list(pool.map(fuzz, options.names or READERS))):
            raise SystemExit(f"what was found is in {findings}")


if __name__ == "__main__":
    main()
