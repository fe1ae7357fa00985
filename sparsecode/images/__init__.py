"""Pictures from patches, by a dictionary learned from the picture: noise out, holes filled."""

from sparsecode.images._denoising import denoise
from sparsecode.images._inpainting import inpaint

__all__ = ["denoise", "inpaint"]
