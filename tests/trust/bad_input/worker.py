"""A process that judges pairs: it may die or hang without taking the others with it.

Each line of its input names a callable and the pair to begin with; it answers with a line before
and a line after each pair. Nothing that is printed by what it calls gets between them.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from typing import Any

MEMORY = 12 * 2**30  # of address space: what asks for more has not looked at its arguments


def main() -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    from .entries import REGISTRY
    from .judge import judge
    from .pairs import pairs_of, warm

    def say(**words: Any) -> None:
        answers.write(json.dumps(words) + "\n")

    for line in sys.stdin:
        order = json.loads(line)
        entry = REGISTRY[order["entry"]]
        say(begin="warm")
        try:
            warm(entry)
        except Exception:
            say(broken=traceback.format_exc())
            continue
        say(end="warm")
        for place, (name, case) in enumerate(pairs_of(entry)):
            if place < order["start"]:
                continue
            say(begin=place)
            try:
                outcome, detail = judge(entry, name, case)
            except BaseException:
                outcome, detail = "broken", traceback.format_exc()
            say(end=place, outcome=str(outcome), detail=detail)
        say(finished=True)


if __name__ == "__main__":
    main()
