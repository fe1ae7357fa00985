"""
What are photographs made of?
=============================

K-SVD looks for atoms in which small patches of two photographs need only a few each. What comes out
are edges and gratings of all directions. How do they differ from the cosines that learning starts
with, and do they describe other patches better?
"""

import matplotlib.pyplot as plt
import numpy as np

from sparsecode import KSVD, plotting
from sparsecode.datasets import load_image_patches
from sparsecode.operators import overcomplete_dct
from sparsecode.solvers import sparse_encode

patches = load_image_patches(12_000, patch_size=8, random_state=0)
train, test = patches[:10_000], patches[10_000:]

# %%
# From cosines to edges
# ---------------------
# 100 atoms, 5 for a patch. The mosaics are in the order of use, on patches that took no part. The
# white cosine is the constant one, which patches without their mean cannot use; learning puts
# another atom in its place.

one = overcomplete_dct(10, 8)
cosines = np.kron(one, one)
learner = KSVD(100, n_nonzero_coefs=5, init=cosines, max_iter=20, random_state=0).fit(train)

figure, axes = plt.subplots(1, 2, figsize=(10, 5.3), layout="constrained")
uses = (sparse_encode(test, cosines, n_nonzero_coefs=5) != 0).sum(axis=0)
plotting.DictionaryDisplay(cosines, (8, 8), uses).plot(axes[0])
axes[0].set_title("Cosines, where learning starts")
plotting.DictionaryDisplay.from_estimator(learner, X=test).plot(axes[1])
axes[1].set_title("Learned from 10,000 patches")

# %%
# Other patches
# -------------
# How much of a patch that took no part is missed, at every number of atoms.

counts = np.arange(1, 9)
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for label, D, marker in (("cosines", cosines, "s"), ("learned", learner.components_, "o")):
    missed = [
        np.linalg.norm(test - sparse_encode(test, D, n_nonzero_coefs=k) @ D) / np.linalg.norm(test)
        for k in counts
    ]
    ax.plot(counts, missed, marker=marker, label=label)
    print(label, " ".join(f"{share:.3f}" for share in missed))
ax.set(xlabel="atoms a patch", ylabel="missed, relative", ylim=(0, None))
ax.set_title("Patches that took no part in learning")
ax.legend()
plt.show()
