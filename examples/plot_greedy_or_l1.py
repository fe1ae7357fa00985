"""
Greedy or l1: who finds the true support?
=========================================

A pursuit takes atoms one after the other and never looks back; the lasso weighs all of them at once
and shrinks what it takes. Both are asked for the same number of atoms. Which of them finds the true
ones depends on how different in size the coefficients are, and on how alike the atoms. And it
depends on how the lasso is asked: to stop its path at that many, or to go on and keep the largest.
"""

import matplotlib.pyplot as plt
import numpy as np

from sparsecode.solvers import coordinate_descent, lars, ols, omp

n_atoms, n_nonzero, n_signals = 200, 10, 25
rng = np.random.default_rng(0)


def greedy(pursuit):
    return lambda A, y: pursuit(A, y, n_nonzero_coefs=n_nonzero).x


def lasso(A, y):
    """The path, followed until one coefficient more than `n_nonzero` comes into use."""
    path = lars(A, y, alpha_ratio=1e-6, max_iter=4 * n_nonzero)
    too_many = np.count_nonzero(path.x, axis=0) > n_nonzero
    return path.x[:, np.argmax(too_many) - 1]  # the last one where none is too many


def debiased_lasso(A, y):
    """A small alpha, with more coefficients than wanted; least squares on the largest of them."""
    largest = np.argsort(-np.abs(coordinate_descent(A, y, alpha_ratio=0.02).x))[:n_nonzero]
    x = np.zeros(n_atoms)
    x[largest] = np.linalg.lstsq(A[:, largest], y, rcond=None)[0]
    return x


def sparse_signal(draw):
    x = np.zeros(n_atoms)
    x[rng.choice(n_atoms, n_nonzero, replace=False)] = draw(n_nonzero)
    return x


# %%
# Coefficients of different sizes, or all of one size
# ---------------------------------------------------
# Without noise, with atoms that are random. Gaussian coefficients differ in size: the large ones
# are found first, and once they are gone the small ones stand out. That suits the greedy. When all
# are 1 or -1 nothing stands out and a wrong atom is never taken back; the l1 norm can take it back
# and needs fewer measurements, but only if it is asked for the largest coefficients of a small
# alpha. The path takes wrong atoms early: to stop it at the right number is to stop it too soon.

methods = {
    "OMP": greedy(omp),
    "OLS": greedy(ols),
    "lasso, path stopped": lasso,
    "lasso, largest, debiased": debiased_lasso,
}
kinds = {
    "coefficients N(0, 1)": rng.standard_normal,
    "coefficients 1 or -1": lambda size: rng.choice([-1.0, 1.0], size),
}
counts = np.arange(30, 91, 10)


def shares_found(draw, n_measurements):
    """Of signals drawn anew, the share whose support each method finds."""
    found = dict.fromkeys(methods, 0)
    for _ in range(n_signals):
        A = rng.standard_normal((n_measurements, n_atoms))
        A /= np.linalg.norm(A, axis=0)
        x = sparse_signal(draw)
        for name, method in methods.items():
            found[name] += np.array_equal(method(A, A @ x) != 0, x != 0)
    return [found[name] / n_signals for name in methods]


figure, axes = plt.subplots(1, 2, figsize=(8, 3.8), sharey=True, layout="constrained")
for ax, (kind, draw) in zip(axes, kinds.items(), strict=True):
    shares = np.array([shares_found(draw, m) for m in counts])
    for name, share, marker in zip(methods, shares.T, "osD^", strict=True):
        ax.plot(counts, share, marker=marker, markersize=5, label=name)
    ax.set(title=kind, xlabel=f"measurements ({n_atoms} atoms, {n_nonzero} in use)")
axes[0].set(ylabel="share of supports found")
figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4)

# %%
# Atoms that are alike, and noise
# -------------------------------
# Now neighbouring atoms correlate, and a tenth of what is measured is noise. The stopped path pays
# twice: for the choice of its atoms, and with coefficients that are too small. The others agree as
# long as atoms can be told apart. Where they hardly can, OMP is the first to be misled, by an atom
# that resembles two of the true ones.

n_measurements, correlations = 80, np.array([0, 0.3, 0.6, 0.8, 0.9])


def errors(correlation):
    """Of signals drawn anew, the median error of each method, relative to the coefficients."""
    relative = {name: [] for name in methods}
    distance = np.abs(np.subtract.outer(np.arange(n_atoms), np.arange(n_atoms)))
    mixing = np.linalg.cholesky(correlation**distance)
    for _ in range(n_signals):
        A = rng.standard_normal((n_measurements, n_atoms)) @ mixing.T
        A /= np.linalg.norm(A, axis=0)
        x = sparse_signal(rng.standard_normal)
        y = A @ x
        noise = rng.standard_normal(n_measurements)
        y += 0.1 * np.linalg.norm(y) / np.linalg.norm(noise) * noise
        for name, method in methods.items():
            relative[name].append(np.linalg.norm(method(A, y) - x) / np.linalg.norm(x))
    return [np.median(relative[name]) for name in methods]


medians = np.array([errors(correlation) for correlation in correlations])
figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for name, median, marker in zip(methods, medians.T, "osD^", strict=True):
    ax.plot(correlations, median, marker=marker, markersize=5, label=name)
ax.set(
    xlabel="correlation of neighbouring atoms",
    ylabel="median error of the coefficients",
    title=f"{n_nonzero} of {n_atoms} atoms, {n_measurements} measurements, a tenth of them noise",
    ylim=(0, None),
)
ax.legend()
plt.show()
