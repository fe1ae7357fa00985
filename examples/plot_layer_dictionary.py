"""
Is a learned dictionary worth its bits on a trained layer?
==========================================================

The first layer of a digit classifier has 128 rows of 64 weights, one for each pixel. We fit a
dictionary on these rows, look at its atoms, and ask what it loses on the layer's *outputs*, beside
the other families, at the same number of bits.
"""

import matplotlib.pyplot as plt
import numpy as np

from sparsecode import datasets, layers, plotting

digits = datasets.load_digits_network()
name = "hidden1.weight"
W = digits.network[name]
gram = digits.calibration_inputs[name].T @ digits.calibration_inputs[name].astype(float)
heldout = digits.heldout_inputs[name].T @ digits.heldout_inputs[name].astype(float)
print(f"{name}: {W.shape}, network accuracy {digits.accuracy:.1%}")

# %%
# The atoms
# ---------
# K-SVD runs in the space where the inputs are white, so that it spends its atoms on directions that
# the digits really take. Pixels at the border that are always dark cost nothing.

learned = layers.factorize(W, "dictionary", budget=0.25, gram=gram)
print(learned)
display = plotting.DictionaryDisplay(learned.dictionary, (8, 8))
display.plot()
display.ax_.set_title("Atoms of the first layer, as 8 x 8 pixels")

# %%
# Equal bits, on inputs that took no part
# ---------------------------------------
# Every point is one factorization; its bits are what it takes on disk, positions included. The
# error is that of the outputs for the held-out digits, squared and relative.

budgets = np.linspace(0.06, 0.6, 10)
curves = {}
for method in ("low_rank", "sparse", "low_rank+sparse", "dictionary"):
    share, error = [], []
    for budget in budgets:
        try:
            form = layers.factorize(W, method, budget=budget, gram=gram)
        except layers.BudgetError:  # too few bits for this family
            continue
        share.append(form.bits().total / (8 * W.nbytes))
        error.append(layers.output_error(W, form.to_dense(), heldout))
    curves[method] = (np.array(share), np.array(error))

frontier = plotting.FrontierDisplay(curves).plot(budget=0.25)
frontier.ax_.set_title("First layer: held-out output error against bits")
plt.show()

# %%
# No family wins everywhere: that is why :func:`sparsecode.layers.compress` asks all of them and
# spends a network's bits where they do most.

best = {method: np.interp(0.25, share, error) for method, (share, error) in curves.items()}
for method in sorted(best, key=best.get):
    print(f"{method:16s} {best[method]:.4f} at a quarter of the bits")
