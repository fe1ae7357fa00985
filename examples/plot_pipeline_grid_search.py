"""
Do sparse codes help a linear classifier?
=========================================

A linear classifier on the raw pixels of the digits is decent. We put a learned dictionary in front
of it, in an ordinary scikit-learn pipeline, and let a grid search choose the number of atoms and
the number of atoms a digit may use.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sparsecode import KSVD, plotting

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)

pipeline = make_pipeline(
    KSVD(max_iter=5, random_state=0),
    StandardScaler(),
    LogisticRegression(max_iter=2000),
)
grid = {"ksvd__n_components": [128, 512], "ksvd__n_nonzero_coefs": [1, 2, 4]}
search = GridSearchCV(pipeline, grid, cv=3).fit(X_train, y_train)
raw = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(X_train, y_train)

print(f"best: {search.best_params_}")
print(f"held-out accuracy {search.score(X_test, y_test):.1%}")
print(f"raw pixels        {raw.score(X_test, y_test):.1%}")

# %%
# What the grid saw, and the atoms it chose
# -----------------------------------------

scores = search.cv_results_["mean_test_score"].reshape(2, 3)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
for n_components, row in zip(grid["ksvd__n_components"], scores, strict=True):
    left.plot(grid["ksvd__n_nonzero_coefs"], row, "o-", label=f"{n_components} atoms")
left.set(
    xlabel="atoms a digit may use",
    ylabel="cross-validated accuracy",
    xticks=grid["ksvd__n_nonzero_coefs"],
    title="Accuracy of the pipeline",
)
left.legend()
ksvd = search.best_estimator_["ksvd"]
usage = np.count_nonzero(ksvd.transform(X_train), axis=0)
plotting.DictionaryDisplay(ksvd.components_, (8, 8), usage=usage).plot(ax=right)
right.set_title("Atoms, the most used first")
plt.show()
