"""What the displays share: where to draw, and how curves are told apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

Curve = TypeVar("Curve")

# Okabe and Ito's colours, readable with any kind of colour vision; their yellow is too pale for
# lines. Markers differ too, for print in grey; 7 and 8 share no factor: 56 styles before a repeat.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def axes_or_new(ax: Axes | None, figsize: tuple[float, float]) -> Axes:
    """`ax`, or the only axes of a new figure."""
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    return check_axes(ax)


def check_axes(ax: Any) -> Axes:
    """Something to draw on."""
    if not hasattr(ax, "plot") or not hasattr(ax, "figure"):
        raise TypeError(f"ax has to be matplotlib Axes, got {type(ax).__name__}")
    return ax


def check_cmap(cmap: Any) -> Any:
    """The name of a colour map that there is, or one."""
    from matplotlib import colormaps
    from matplotlib.colors import Colormap

    if not isinstance(cmap, Colormap) and not (isinstance(cmap, str) and cmap in colormaps):
        raise ValueError(f"cmap has to be the name of a colour map of matplotlib, got {cmap!r}")
    return cmap


def styled(curves: Mapping[str, Curve]) -> Iterator[tuple[str, Curve, dict[str, Any]]]:
    """Each label and curve, with keywords of `Axes.plot` that set it apart."""
    styles = zip(cycle(COLORS), cycle(MARKERS), strict=False)
    for (label, curve), (color, marker) in zip(curves.items(), styles, strict=False):
        # matplotlib leaves a label that begins with an underscore out of the legend.
        shown = f" {label}" if label.startswith("_") else label
        look = {"label": shown, "color": color, "marker": marker}
        yield label, curve, {**look, "markersize": 5, "linewidth": 1.5}


def add_legend(ax: Axes) -> None:
    """The legend: inside while it is short, else to the right, where it hides nothing."""
    handles, labels = ax.get_legend_handles_labels()
    if len(labels) > 4:
        ax.legend(handles, labels, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
    elif any(labels):
        ax.legend(handles, labels, loc="best")


def set_log_height(ax: Axes) -> None:
    """A logarithmic vertical axis; within one decade its ticks are plain numbers, not powers."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    if high < 10 * low:
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:g}")


def set_integer_ticks(axis: Axis, n_bins: int = 8) -> None:
    """Ticks at whole numbers: indices and iterations have no others."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(n_bins, integer=True, steps=[1, 2, 5, 10]))


def add_grid(ax: Axes) -> None:
    """Thin lines under the data."""
    ax.set_axisbelow(True)
    ax.grid(visible=True, which="major", color="0.88", linewidth=0.6)


def check_labelled(data: Any, name: str) -> Mapping[str, Any]:
    """A mapping of labels to what belongs to each, with one label at least."""
    if not isinstance(data, Mapping):
        raise TypeError(f"{name} has to be a mapping by labels, got {type(data).__name__}")
    for label in data:
        if not isinstance(label, str):
            raise TypeError(f"{name} has to have strings for labels, got {label!r}")
    if not data:
        raise ValueError(f"{name} is empty: there is nothing to plot")
    return data


def check_label(label: Any) -> str:
    """The name of one curve."""
    if not isinstance(label, str):
        raise TypeError(f"label has to be a string, got {label!r}")
    return label


def name_of(estimator: Any, label: str | None) -> str:
    """The label, or the class of the estimator where there is none."""
    return type(estimator).__name__ if label is None else check_label(label)


def parts_of(result: Any, name: str, *parts: str) -> list[Any]:
    """What a solver's result holds."""
    if missing := [part for part in parts if not hasattr(result, part)]:
        raise TypeError(
            f"{name} has to be a solver's result with {' and '.join(missing)}, got a "
            f"{type(result).__name__}"
        )
    return [getattr(result, part) for part in parts]


def labelled(labels: Iterable[str]) -> str:
    """For messages: the labels, quoted."""
    return ", ".join(map(repr, labels))
