"""
Can a photograph be told from the scratches on it?
==================================================

We corrupt one pixel in ten of a photograph, anywhere and by any amount, and do not say which. If
the picture is close to low rank and the damage is sparse, principal component pursuit separates
the two by solving one convex problem without a parameter to tune. PCA, given the right rank,
cannot: its squared loss spreads every scratch over the whole picture.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image
from sklearn.decomposition import PCA

from sparsecode import RobustPCA, plotting

picture = load_sample_image("china.jpg")[:400:2, 40:440:2].mean(axis=2) / 255
U, s, Vt = np.linalg.svd(picture)
rank = 10
clean = (U[:, :rank] * s[:rank]) @ Vt[:rank]  # the part we can hope to recover

rng = np.random.default_rng(0)
scratched = rng.random(clean.shape) < 0.1
corrupted = np.where(scratched, rng.random(clean.shape), clean)

# %%
# One convex problem
# ------------------

split = RobustPCA().fit(corrupted)
print(f"rank {split.rank_}, {np.mean(split.sparse_ != 0):.1%} of the entries called corrupted")
print(f"duality gap {split.dual_gap_:.1e}: no split has a lower objective by more than that share")

plotting.DecompositionDisplay(corrupted, split.low_rank_, split.sparse_).plot()

# %%
# Against PCA with the right rank
# -------------------------------

pca = PCA(rank).fit(corrupted)
by_pca = pca.inverse_transform(pca.transform(corrupted))
figure, axes = plt.subplots(1, 4, figsize=(11, 3.6), layout="constrained")
shown = {
    "clean": clean,
    "corrupted": corrupted,
    f"PCA, rank {rank}": by_pca,
    "RobustPCA": split.low_rank_,
}
for ax, (title, image) in zip(axes, shown.items(), strict=True):
    error = np.linalg.norm(image - clean) / np.linalg.norm(clean)
    ax.imshow(image, cmap="gray", vmin=0, vmax=1)
    ax.set(title=f"{title}\nerror {error:.1%}", xticks=[], yticks=[])
plt.show()

# %%
# New rows
# --------
# `transform` is robust too: for each new row it finds coordinates in the learned subspace and sets
# the row's own corruption aside. A plain projection takes the scratches for signal.

new = clean[::-1] * 0.9
damaged = np.where(rng.random(new.shape) < 0.1, 1.0, new)
robust = split.inverse_transform(split.transform(damaged))
plain = damaged @ split.components_.T @ split.components_
for title, image in {"robust transform": robust, "plain projection": plain}.items():
    print(f"{title}: error {np.linalg.norm(image - new) / np.linalg.norm(new):.2%}")
