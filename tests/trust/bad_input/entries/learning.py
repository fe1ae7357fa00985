"""Dictionary learners."""

from __future__ import annotations

from typing import Any

import numpy as np

from bad_input import checks
from bad_input.arguments import Count, Data, Labels, Number, Option, Thing
from bad_input.entry import Entry, answers_of, entry

ROOM = "solvers: dictionaries"
rng = np.random.default_rng(2)
ATOMS = rng.standard_normal((5, 6))
X = (rng.standard_normal((12, 5)) * (rng.random((12, 5)) < 0.4)) @ ATOMS
X += 0.05 * rng.standard_normal(X.shape)
IMAGES = rng.standard_normal((2, 7, 7))
SMALL = rng.standard_normal((2, 3, 3))
DEGREES = {"dictionary": 0, "codes": 1}


def learner(name: str, **more: Any) -> Entry:
    given = {
        "X": Data(value=X, degrees=DEGREES, grows=(0, 1)),
        "n_components": Count(value=4),
        "n_nonzero_coefs": Count(value=2, high=4, none=True),
        "max_iter": 3,
        "tol": Number(low=0, none=True),
        "random_state": 0,
        "init": Thing(none=True),
    }
    return entry(
        f"solvers.{name}", ROOM, given=given | more, answers=answers_of("dictionary", "codes"),
        check=checks.dictionary, branching=True, rtol=1e-4,
    )  # fmt: skip


ENTRIES = [
    learner("ksvd", update=Option()),
    learner("ksvd, exact", update=Option(value="exact")),
    learner("mod"),
    learner("online_dictionary_learning", batch_size=Count(value=4, none=True),
            state=Thing(none=True)),
    learner("online_dictionary_learning, alpha",
            X=Data(value=X, degrees=DEGREES, along={"alpha": 1}),
            n_nonzero_coefs=Count(high=4, none=True), alpha=0.2,
            batch_size=Count(value=4, none=True), state=Thing(none=True)),
    entry("solvers.label_consistent_ksvd", ROOM,
          given={"X": Data(value=X, degrees=DEGREES),
                 "labels": Labels(value=np.arange(12) % 2), "n_components": Count(value=4),
                 "n_nonzero_coefs": Count(value=2, high=4), "label_weight": Number(low=0),
                 "classifier_weight": Number(low=0), "max_iter": 3, "random_state": 0},
          answers=answers_of("dictionary", "codes"), branching=True, rtol=1e-4),
    entry("solvers.convolutional_dictionary_learning", ROOM,
          given={"X": Data(value=IMAGES, ndim=(2, 3), degrees=DEGREES, along={"alpha": 1}),
                 "n_components": Count(value=2), "atom_shape": Count(value=3, lengths=True),
                 "alpha": 0.5, "max_iter": 4, "random_state": 0, "init": Thing(none=True),
                 "tol": Number(low=0, none=True)},
          answers=answers_of("dictionary", "codes"), branching=True, rtol=1e-3),
    entry("solvers.convolutional_sparse_encode", ROOM,
          given={"X": Data(value=IMAGES, ndim=(2, 3), degrees={"x": 1}),
                 "dictionary": Data(value=SMALL, ndim=(2, 3), degrees={"x": -1}),
                 "alpha_ratio": 0.3, "tol": 1e-8, "init": Thing(none=True)},
          answers=answers_of("x"), rtol=1e-3),
    entry("solvers.convolutional_synthesis", ROOM,
          given={"codes": Data(value=rng.standard_normal((2, 2, 5, 5)), ndim=(3, 4),
                               degrees={"it": 1}, grows=(0,)),
                 "dictionary": Data(value=SMALL, ndim=(2, 3), degrees={"it": 1})}),
    entry("solvers.kmeans_1d", ROOM,
          given={"x": Data(value=rng.standard_normal(12), ndim=(1,), grows=(0,),
                           degrees={"0": 1, "1": 2, "2": 2}),
                 "n_clusters": Count(value=3),
                 "weights": Data(value=np.linspace(1, 2, 12), ndim=(1,), grows=(),
                                 optional=True, nonnegative=True,
                                 degrees={"0": 0, "1": 1, "2": 1})}),
]  # fmt: skip
