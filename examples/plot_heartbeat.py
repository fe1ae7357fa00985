"""
A heartbeat from a quarter of its samples
=========================================

A sensor on the skin has little power: it sends a few random sums of its samples, and the receiver
does the work. How few are enough depends on how well the receiver knows heartbeats. In wavelets
they take many coefficients; in atoms that were learned from other heartbeats, four.
"""

import matplotlib.pyplot as plt
import numpy as np

from sparsecode import KSVD, CompressedSensing

# %%
# The signals
# -----------
# Each beat is a sum of five bumps, the P, Q, R, S and T waves, whose heights vary by 5 %. A row is
# a window of 128 samples, 0.7 seconds, with a random start.

rng = np.random.default_rng(0)
WAVES = {  # seconds from the middle of the beat, width, millivolts
    "P": (-0.20, 0.025, 0.15),
    "Q": (-0.035, 0.010, -0.12),
    "R": (0.0, 0.011, 1.0),
    "S": (0.035, 0.010, -0.22),
    "T": (0.28, 0.045, 0.30),
}
time = np.arange(128) / 180


def windows(n):
    """Beats at about 70 a minute."""
    signals = np.zeros((n, time.size))
    for signal in signals:
        beat = rng.uniform(-0.9, 0.0)
        while beat < time[-1] + 0.5:
            for place, width, height in WAVES.values():
                bump = np.exp(-0.5 * ((time - beat - place) / width) ** 2)
                signal += height * rng.normal(1, 0.05) * bump
            beat += rng.normal(0.86, 0.04)
    return signals


known, signals = windows(4000), windows(40)
learner = KSVD(256, n_nonzero_coefs=4, max_iter=20, random_state=0).fit(known)

# %%
# 32 numbers for 128 samples
# --------------------------
# Both receivers get the same random sums, with noise of a hundredth of a millivolt.

n_measurements, level = 32, 0.01
noise = level * rng.standard_normal((signals.shape[0], n_measurements))
bases = {"learned atoms": learner, "wavelets": "wavelet"}
recovered = {}
for name, basis in bases.items():
    sensor = CompressedSensing(
        n_measurements, sensing="bernoulli", basis=basis, n_nonzero_coefs=6, random_state=0
    ).fit(signals)
    recovered[name] = sensor.inverse_transform(sensor.transform(signals) + noise)


def decibels(estimate):
    """The signal-to-noise ratio of all windows."""
    return 10 * np.log10(np.sum(signals**2) / np.sum((estimate - signals) ** 2))


for name, estimate in recovered.items():
    print(f"{name}: {decibels(estimate):.1f} dB")

# %%
# Three of the windows.

figure, axes = plt.subplots(1, 3, figsize=(9, 3), sharey=True, layout="constrained")
for ax, row in zip(axes, (0, 1, 2), strict=True):
    ax.plot(time, signals[row], color="0.75", linewidth=5, label="the heartbeat")
    for (name, estimate), color in zip(recovered.items(), ("#0072B2", "#D55E00"), strict=True):
        ax.plot(time, estimate[row], color=color, linewidth=1.2, label=name)
    ax.set(xlabel="seconds")
axes[0].set(ylabel="millivolts")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
plt.show()
