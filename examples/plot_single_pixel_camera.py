"""
A camera with a single pixel
============================

One photodiode behind a field of small mirrors: each pattern of the mirrors lets some of the pixels
through and holds the others back, and the diode measures their sum. There is one number a pattern,
and the picture has 16,384 pixels. How good is it after a quarter of as many patterns?
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import hadamard
from sklearn.datasets import load_sample_image

from sparsecode.operators import subsampled_hadamard
from sparsecode.solvers import total_variation

# %%
# The scene and the patterns
# --------------------------
# A part of the photograph of China, 128 x 128 pixels. The patterns are those of Hadamard: +1 and -1
# in equal number (a pattern and its complement, one after the other), each at right angles to all
# others, and fast to multiply with. A pattern is as coarse as it changes its sign seldom.

rng = np.random.default_rng(0)
photograph = load_sample_image("china.jpg") @ [0.299, 0.587, 0.114] / 255
scene = photograph[20:404, 128:512].reshape(128, 3, 128, 3).mean(axis=(1, 3))

changes = np.count_nonzero(np.diff(hadamard(128), axis=1), axis=1)
coarsest_first = np.argsort((changes[:, None] + changes).ravel(), kind="stable")

n_patterns, noise = scene.size // 4, 0.005


def patterns(n_coarse):
    """The coarsest ones, and any of the others."""
    others = rng.permutation(coarsest_first[n_coarse:])[: n_patterns - n_coarse]
    return np.concatenate([coarsest_first[:n_coarse], others])


choices = {
    "any": patterns(1),  # and the sum of all pixels
    "half coarse, half any": patterns(n_patterns // 2),
    "the coarsest": patterns(n_patterns),
}

# %%
# The pictures
# ------------
# The adjoint adds up the patterns as they were measured: what none of them measured is zero. The
# picture of least total variation within the noise fills in what makes the fewest edges.


def decibels(picture):
    return -10 * np.log10(np.mean((picture - scene) ** 2))


figure, axes = plt.subplots(2, 4, figsize=(11, 5.8), layout="constrained")
axes[0, 0].imshow(scene, cmap="gray", vmin=0, vmax=1)
axes[0, 0].set_title("the scene", fontsize="medium")
example = np.zeros(n_patterns)
example[n_patterns // 3] = 1
for ax in axes[:, 0]:
    ax.set_axis_off()

for column, (choice, rows) in zip(axes.T[1:], choices.items(), strict=True):
    A = subsampled_hadamard(scene.shape, rows)
    y = A @ scene.ravel() + noise * rng.standard_normal(n_patterns)
    sigma = noise * np.sqrt(n_patterns)
    pictures = {
        "adjoint": (A.H @ y).reshape(scene.shape),
        "least variation": total_variation(A, y, scene.shape, sigma=sigma, tol=1e-2).x,
    }
    for ax, (method, picture) in zip(column, pictures.items(), strict=True):
        ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
        ax.set_title(f"{choice}\n{method}: {decibels(picture):.1f} dB", fontsize="medium")
        ax.set_axis_off()
        print(f"{choice}, {method}: {decibels(picture):.1f} dB")

pattern = (subsampled_hadamard(scene.shape, choices["half coarse, half any"]).H @ example) > 0
axes[1, 0].imshow(pattern.reshape(scene.shape), cmap="gray")
axes[1, 0].set_title("one of the patterns", fontsize="medium")
plt.show()

# %%
# Patterns at random lose most of the energy, which natural scenes have in coarse ones; least
# variation makes a picture of what is left. With the coarsest patterns the adjoint is good already,
# but blocky: least variation takes away the blocks.
