"""
How few measurements does a sparse signal need?
===============================================

A signal of 256 samples is a sum of a few cosines. Random measurements recover it exactly once there
are enough of them, far fewer than 256. We watch where that happens, and compare with the Fourier
view of it: a signal's samples at random times.
"""

import matplotlib.pyplot as plt
import numpy as np

from sparsecode import CompressedSensing
from sparsecode.operators import overcomplete_dct

n_features, n_nonzero, n_signals = 256, 8, 40
rng = np.random.default_rng(0)
codes = np.zeros((n_signals, n_features))
for row in codes:
    row[rng.choice(n_features, n_nonzero, replace=False)] = rng.standard_normal(n_nonzero)

# %%
# The signals are sparse in the cosine basis, not in time.

basis = overcomplete_dct(n_features, n_features)
signals = codes @ basis

# %%
# A sweep over the number of measurements
# ---------------------------------------
# `transform` measures; `inverse_transform` recovers, by the sparsest explanation that orthogonal
# matching pursuit finds.

counts = np.arange(16, 97, 8)
recovered = []
for n_measurements in counts:
    sensing = CompressedSensing(
        n_measurements, basis="dct", solver="omp", n_nonzero_coefs=n_nonzero, random_state=0
    ).fit(signals)
    estimate = sensing.inverse_transform(sensing.transform(signals))
    error = np.linalg.norm(estimate - signals, axis=1) / np.linalg.norm(signals, axis=1)
    recovered.append(np.mean(error < 1e-6))

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
ax.plot(counts, recovered, "o-")
ax.axvline(2 * n_nonzero, color="gray", linestyle=":")
ax.annotate("twice the\nunknowns", (2 * n_nonzero, 0.6), xytext=(5, 0), textcoords="offset points")
ax.set(
    xlabel=f"measurements of {n_features} samples",
    ylabel="share of signals recovered exactly",
    title=f"{n_nonzero} cosines a signal, {n_signals} signals",
)

# %%
# One signal, from a quarter of its measurements
# ----------------------------------------------

sensing = CompressedSensing(
    64, basis="dct", solver="omp", n_nonzero_coefs=n_nonzero, random_state=0
).fit(signals)
measured = sensing.transform(signals[:1])
estimate = sensing.inverse_transform(measured)
figure, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
ax.plot(signals[0, :64], label="signal")
ax.plot(estimate[0, :64], "o", markersize=4, label="recovered from 64 measurements")
ax.set(xlabel="time (the first quarter)", title="One signal and its recovery")
ax.legend(loc="lower right")
plt.show()
print(f"largest difference {np.abs(estimate[0] - signals[0]).max():.1e}")
