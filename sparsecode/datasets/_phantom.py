"""The phantom of computed tomography, and the lines along which its spectrum is measured."""

from __future__ import annotations

import numpy as np

from sparsecode._memory import check_fits
from sparsecode._validation import check_int

# Intensity, half axes (along x and along y), centre and angle in degrees of each ellipse, in the
# square from -1 to 1: Shepp and Logan's, with Toft's intensities, which show the inner ones.
ELLIPSES = (
    (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
    (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0),
    (-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
    (-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
    (0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
    (0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
    (0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
    (0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
    (0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
)


def shepp_logan(n: int = 256) -> np.ndarray:
    """The Shepp-Logan phantom: ten ellipses that stand for a section through a head.

    Parameters
    ----------
    n : int, default=256
        Pixels along each side.

    Returns
    -------
    ndarray of shape (n, n)
        Piecewise constant, from 0 to 1, with the intensities of Toft's variant, whose inner
        ellipses can be told apart by eye.

    References
    ----------
    Shepp and Logan, "The Fourier reconstruction of a head section", 1974; Toft, "The Radon
    transform: theory and implementation", 1996.

    Examples
    --------
    >>> from sparsecode.datasets import shepp_logan
    >>> image = shepp_logan(64)
    >>> image.shape, float(image.min()), float(image.max())
    ((64, 64), 0.0, 1.0)
    """
    n = check_int(n, "n", low=2)
    check_fits(4 * 8 * n * n, f"an image of n={n} pixels a side")
    x = np.linspace(-1, 1, n)
    y = x[::-1, None]
    image = np.zeros((n, n))
    for intensity, a, b, x0, y0, degrees in ELLIPSES:
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        along, across = (x - x0) * cos + (y - y0) * sin, (y - y0) * cos - (x - x0) * sin
        image[(along / a) ** 2 + (across / b) ** 2 <= 1] += intensity
    return np.maximum(image.round(12), 0.0)  # 1 - 0.8 - 0.2 is zero


def radial_lines(shape: tuple[int, int], n_lines: int) -> np.ndarray:
    """Which frequencies of an image lie on lines through the origin, at equal angles.

    Each line goes from one edge of the spectrum to the other, and takes one frequency from each of
    the rows or of the columns, whichever it crosses all of. With each frequency the mask holds its
    negative; the highest one of an even length, which has none, is left out.

    Parameters
    ----------
    shape : tuple of two int
        Of the image.
    n_lines : int
        Lines; the first is horizontal.

    Returns
    -------
    ndarray of bool of that shape
        In the order of `numpy.fft`, as `sparsecode.operators.subsampled_fft` takes it.

    References
    ----------
    Candes, Romberg and Tao, "Robust uncertainty principles: exact signal reconstruction from highly
    incomplete frequency information", 2006.

    Examples
    --------
    >>> from sparsecode.datasets import radial_lines
    >>> int(radial_lines((256, 256), 22).sum())
    5481
    """
    if not isinstance(shape, tuple | list | np.ndarray) or len(shape) != 2:
        raise ValueError(f"shape has to be that of an image, (rows, columns), got {shape!r}")
    rows, columns = (check_int(length, "a length in shape") for length in shape)
    check_fits(rows * columns, f"a mask of shape={shape!r}")
    n_lines = check_int(n_lines, "n_lines")
    check_fits(8 * n_lines, f"the angles of n_lines={n_lines} lines")
    mask = np.zeros((rows, columns), dtype=bool)
    for angle in np.pi * np.arange(n_lines) / n_lines:
        sin, cos = np.sin(angle), np.cos(angle)
        if abs(cos) >= abs(sin):
            right = np.arange(-((columns - 1) // 2), (columns - 1) // 2 + 1)
            down = np.rint(right / columns * (sin / cos) * rows).astype(int)
        else:
            down = np.arange(-((rows - 1) // 2), (rows - 1) // 2 + 1)
            right = np.rint(down / rows * (cos / sin) * columns).astype(int)
        mask[down, right] = True
    return mask
