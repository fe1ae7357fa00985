"""Pictures to restore, and the plain pursuit that restores them."""

import numpy as np
from sklearn.datasets import load_sample_images


def psnr(clean, picture):
    return 10 * np.log10(255**2 / np.mean((np.asarray(clean, dtype=float) - picture) ** 2))


def photograph(name, rows, columns, grey=True):
    china, flower = load_sample_images().images
    picture = {"china": china, "flower": flower}[name][rows, columns].astype(float)
    return picture @ [0.299, 0.587, 0.114] if grey else picture


def with_noise(clean, sigma=25.0, seed=0):
    return clean + np.random.default_rng(seed).normal(scale=sigma, size=clean.shape)


def drawing(height=40, width=36):
    """Edges, a slope and a texture."""
    y, x = np.mgrid[:height, :width]
    return 60 + 100 * (x + y > 40) + 1.5 * y + 20 * np.sin(x) * (y > 20)


def plain_omp(X, D, energy, most):
    codes, gram = np.zeros((len(X), len(D))), D @ D.T
    for x, code in zip(X, codes, strict=True):
        taken, residual = [], x
        while residual @ residual > energy and len(taken) < most:
            taken.append(int(np.argmax(np.abs(D @ residual))))
            fitted = np.linalg.solve(gram[np.ix_(taken, taken)], D[taken] @ x)
            residual = x - fitted @ D[taken]
        code[taken] = fitted if taken else 0
    return codes
