"""
What moved, when the light changes too?
=======================================

A camera looks at one place all day. The light comes and goes, so every pixel changes in every
frame; people pass, and hide a part of the place for a while. Which pixels are theirs? To subtract
the median frame is to assume that the light stays. But light on a place that stands still has few
degrees of freedom: the frames without the passers-by, one a row, form a matrix of low rank, and the
passers-by are gross errors in it.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images
from sklearn.decomposition import PCA

from sparsecode import RobustPCA

china, flower = (picture.mean(axis=2) / 255 for picture in load_sample_images().images)
place = china[100:340:3, 60:420:3]  # a temple and its trees
height, width = place.shape
n_frames = 90

# The sun sets on the left while lamps are lit on the right: three pictures that change in strength.
time = np.linspace(0, 1, n_frames)
across = np.linspace(0, 1, width)
pictures = [0.35 * place, 0.55 * place * (1 - across), 0.55 * place * across**2]
strengths = [np.ones(n_frames), np.cos(np.pi * time / 2), np.sin(np.pi * time / 2) ** 3]
background = np.einsum("kt,kij->tij", strengths, pictures)

# Three passers-by, discs cut from another photograph, each at a speed of its own.
rows, columns = np.ogrid[:height, :width]
video, moved = background.copy(), np.zeros(background.shape, dtype=bool)
for line, speed, radius, start in ((58, 210, 8, -20), (68, -260, 10, 200), (45, 150, 6, -60)):
    for frame, t in enumerate(time):
        disc = (rows - line) ** 2 + (columns - start - speed * t) ** 2 <= radius**2
        moved[frame] |= disc
        video[frame][disc] = flower[200 : 200 + height, 250 : 250 + width][disc]
print(f"{moved.mean():.1%} of the pixels belong to passers-by")

# %%
# One row a frame
# ---------------
# Robust PCA is told neither the rank nor the share of pixels. PCA is told the rank, and
# the median is given all frames.

X = video.reshape(n_frames, -1)
split = RobustPCA().fit(X)
pca = PCA(3).fit(X)
backgrounds = {
    "median frame": np.broadcast_to(np.median(video, axis=0), video.shape),
    "PCA, rank 3": pca.inverse_transform(pca.transform(X)).reshape(video.shape),
    f"RobustPCA, rank {split.rank_} found": split.low_rank_.reshape(video.shape),
}
for name, found in backgrounds.items():
    error = np.linalg.norm(found - background) / np.linalg.norm(background)
    print(f"{name}: error of the background {error:.2%}")


def differences(found):
    return np.abs(video - found)


shown = [12, 45, 78]
figure, axes = plt.subplots(4, len(shown), figsize=(8, 7.4), layout="constrained")
for column, frame in zip(axes.T, shown, strict=True):
    column[0].imshow(video[frame], cmap="gray", vmin=0, vmax=1)
    column[0].set_title(f"frame {frame}")
    for ax, found in zip(column[1:], backgrounds.values(), strict=True):
        ax.imshow(differences(found)[frame], cmap="magma", vmin=0, vmax=0.5)
for ax, name in zip(axes[:, 0], ["video", *backgrounds], strict=True):
    ax.set_ylabel(name if name == "video" else f"distance from\n{name}")
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])

# %%
# How many of their pixels are found
# ----------------------------------
# A pixel is called moved where it is farther than a threshold from the background. There is no
# noise here, so that the true background tells every pixel. A threshold that lets changes of the
# light pass lets passers-by pass as well, unless the light has been found first.

thresholds = np.geomspace(1e-3, 0.5, 60)
figure, ax = plt.subplots(figsize=(5.6, 3.8), layout="constrained")
oracle = {"the true background": background}
for (name, found), style in zip((backgrounds | oracle).items(), ("-", "-", "-", "k:"), strict=True):
    called = [differences(found) > threshold for threshold in thresholds]
    precision = [np.mean(moved[mask]) if mask.any() else 1.0 for mask in called]
    recall = [np.mean(mask[moved]) for mask in called]
    ax.plot(recall, precision, style, label=name)
ax.set(xlabel="share of moved pixels called", ylabel="share of called pixels that moved")
ax.set(xlim=(0, 1.02), ylim=(0, 1.02), title="thresholds from 0.001 to 0.5")
ax.legend(loc="lower left")

# %%
# A frame that was not there
# --------------------------
# On another day the lamps are lit in bright light, as in none of the frames, and someone stands in
# the middle. `decompose` finds the light of this one frame by robust regression on the subspace.

new = sum(s * p for s, p in zip((1.0, 0.9, 0.6), pictures, strict=True))
visitor = (rows - 50) ** 2 / 1.6 + (columns - 60) ** 2 <= 14**2
seen = np.where(visitor, flower[100 : 100 + height, 200 : 200 + width], new)
low_rank, sparse = (part.reshape(height, width) for part in split.decompose(seen.reshape(1, -1)))
error = np.linalg.norm(low_rank - new) / np.linalg.norm(new)
print(f"{visitor.mean():.1%} of the frame hidden, error of the background {error:.2%}")

figure, axes = plt.subplots(1, 3, figsize=(9, 2.2), layout="constrained")
for ax, (title, picture) in zip(
    axes, {"seen": seen, "background": low_rank, "visitor": np.abs(sparse)}.items(), strict=True
):
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
    ax.set(title=title, xticks=[], yticks=[])
plt.show()
