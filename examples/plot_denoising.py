"""
How much noise can a picture take out of itself?
================================================

A noisy photograph and nothing else: no clean pictures to learn from. Its patches repeat each other,
and the noise does not; so a dictionary learned from the noisy patches holds what they have in
common. What does learning add to fixed cosines, and what do three channels know of each other?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images

from sparsecode.images import denoise

china, flower = load_sample_images().images
clean = china[120:376, 200:456].astype(float)  # a roof, in colour
sigma = 25.0
noisy = clean + np.random.default_rng(0).normal(scale=sigma, size=clean.shape)


def psnr(picture):
    return 10 * np.log10(255**2 / np.mean((picture - clean) ** 2))


# %%
# Three ways
# ----------
# Each is told the noise. "Each channel alone" learns one dictionary for red, one for green and one
# for blue; "together" one of patches across all three.

alone = [denoise(noisy[:, :, k], sigma) for k in range(3)]
pictures = {
    "noisy": noisy,
    "cosines": denoise(noisy, sigma, max_iter=0),
    "each channel alone": np.dstack(alone),
    "together": denoise(noisy, sigma),
}

figure, axes = plt.subplots(2, 2, figsize=(8, 8.4), layout="constrained")
for ax, (name, picture) in zip(axes.flat, pictures.items(), strict=True):
    ax.imshow(np.clip(picture, 0, 255).astype(np.uint8))
    ax.set(title=f"{name}: {psnr(picture):.2f} dB", xticks=[], yticks=[])
    print(f"{name:20s} {psnr(picture):.2f} dB")

# %%
# What was taken out
# ------------------
# The difference should look like the noise, and like nothing else: where edges show, the picture
# has lost something.

figure, axes = plt.subplots(1, 2, figsize=(8, 4.3), layout="constrained")
for ax, name in zip(axes, ("cosines", "together"), strict=True):
    ax.imshow((noisy - pictures[name]).mean(axis=2), cmap="gray", vmin=-40, vmax=40)
    ax.set(title=f"{name}: taken out", xticks=[], yticks=[])
plt.show()
