"""
Half of the pixels are gone: what was there?
============================================

Pixels are lost at random, and a scribble covers others. Patches overlap, so that each missing pixel
lies in many of them; each patch is coded on its known pixels alone, and its code says what the
others should be. Are learned atoms worth more than cosines, and than interpolation?
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.interpolate import griddata
from sklearn.datasets import load_sample_images

from sparsecode.images import inpaint

china, flower = load_sample_images().images
clean = china[150:310, 220:380] @ np.array([0.299, 0.587, 0.114])
height, width = clean.shape
rows, columns = np.indices(clean.shape)
scribble = np.abs(rows - 80 - 45 * np.sin(columns / 14)) < 3
missing = (np.random.default_rng(0).random(clean.shape) < 0.5) | scribble
print(f"{missing.mean():.0%} of the pixels are missing")

# %%
# Three ways to fill them in
# --------------------------
# The mask is True where a pixel is missing. With ``max_iter=0`` the atoms stay cosines.

known = np.nonzero(~missing)
cubic, nearest = (
    griddata(known, clean[known], (rows, columns), method) for method in ("cubic", "nearest")
)
holed = np.where(missing, np.nan, clean)
pictures = {
    "known": holed,
    "cubic interpolation": np.where(np.isnan(cubic), nearest, cubic),
    "cosines": inpaint(holed, missing, max_iter=0),
    "learned atoms": inpaint(holed, missing),
}

figure, axes = plt.subplots(2, 2, figsize=(8, 8.4), layout="constrained")
for ax, (name, picture) in zip(axes.flat, pictures.items(), strict=True):
    ax.imshow(np.where(np.isnan(picture), 255, picture), cmap="gray", vmin=0, vmax=255)
    title = name
    if name != "known":
        error = 10 * np.log10(255**2 / np.mean((picture - clean) ** 2))
        title = f"{name}: {error:.2f} dB"
    ax.set(title=title, xticks=[], yticks=[])
    print(title)
plt.show()
