"""
How many nonzeros can be recovered?
===================================

From `m` random measurements of a signal of length `n`, with `k` nonzeros: for large `n` there is a
sharp border, and where it lies for the l1 norm is known (Donoho and Tanner, 2009). Greedy methods
have borders of their own, which depend on the values of the nonzeros.
"""

import matplotlib.pyplot as plt
import numpy as np

from sparsecode import solvers, theory
from sparsecode.plotting import PhaseTransitionDisplay

# %%
# The nonzeros are 1 or -1, which is the hardest case for greedy methods. Each cell of the grid has
# ten draws; the points are where a logistic curve through their outcomes is one half.

n, deltas = 100, (0.2, 0.4, 0.6, 0.8)
curve = theory.phase_transition(np.array(deltas))
found = {
    "basis pursuit": theory.empirical_phase_transition(
        lambda A, y, k: solvers.basis_pursuit(A, y, tol=1e-4),
        n,
        deltas,
        np.outer(curve, np.linspace(0.6, 1.4, 7)),
        n_trials=10,
    ),
    "matching pursuit": theory.empirical_phase_transition(
        lambda A, y, k: solvers.omp(A, y, n_nonzero_coefs=k),
        n,
        deltas,
        np.outer(curve, np.linspace(0.3, 1.2, 9)),
        n_trials=10,
    ),
}

# %%
# The border of the l1 norm is where the theory has it, even at a length of 100.

figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
PhaseTransitionDisplay.from_result(found["basis pursuit"], label="basis pursuit").plot(axes[0])
PhaseTransitionDisplay.from_results(found).plot(axes[1])
plt.show()
