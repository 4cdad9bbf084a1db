"""The sensor: glimpses of uint8 images, gathered without touching any other pixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def gather_patches(images: Tensor, index: Tensor, locations: Tensor, size: int) -> Tensor:
    """Square patches at any location of any image; pixels outside the image read zero.

    One `index_select` over the overlapping pixel rows of all images: a patch of G x G x C bytes
    costs G copies of G*C contiguous bytes, and no other byte of the images is read.

    Args:
        images: (N, H, W, C) uint8, contiguous, on any device (a memory map is fine).
        index: (B,) int64, which image.
        locations: (B, T, 2) int64 top-left pixels (row, col), anywhere.
        size: side G of the patch in pixels.

    Returns:
        (B, T, G, G, C) uint8.

    >>> images = torch.arange(16, dtype=torch.uint8).view(1, 4, 4, 1)
    >>> gather_patches(images, torch.tensor([0]), torch.tensor([[[2, -1]]]), 2).flatten().tolist()
    [0, 8, 0, 12]
    """
    _, height, width, channels = images.shape
    span = torch.arange(size, device=images.device)
    rows = locations[..., 0, None] + span  # (B, T, G)
    cols = locations[..., 1, None] + span
    row_inside = (rows >= 0) & (rows < height)
    pixel = (index[:, None, None] * height + rows.clamp(0, height - 1)) * width + locations[..., 1, None]
    strips = _strips(images.view(-1), pixel * channels, size * channels)  # (B*T*G, G*C), a copy
    patches = strips.view(*locations.shape[:2], size, size, channels)
    col_inside = (cols >= 0) & (cols < width)
    if not bool(row_inside.all() & col_inside.all()):
        patches *= row_inside.to(torch.uint8)[..., :, None, None]
        patches *= col_inside.to(torch.uint8)[..., None, :, None]
    return patches


def _strips(buffer: Tensor, starts: Tensor, length: int) -> Tensor:
    """`length` bytes from each start; a strip that leaves the buffer is zero out there."""
    if len(buffer) < length:
        buffer = torch.cat([buffer, buffer.new_zeros(length - len(buffer))])
    windows = buffer.as_strided((len(buffer) - length + 1, length), (1, 1))
    flat = starts.reshape(-1)
    safe = flat.clamp(0, len(windows) - 1)
    strips = windows.index_select(0, safe)
    strayed = (flat != safe).nonzero().view(-1)  # only at the very first or last bytes of the buffer
    if len(strayed):
        position = flat[strayed, None] + torch.arange(length, device=buffer.device)
        inside = (position >= 0) & (position < len(buffer))
        strips[strayed] = buffer[position.clamp(0, len(buffer) - 1)] * inside
    return strips


def block_sums(patches: Tensor, factor: int) -> Tensor:
    """(N, G, G, C) sums over blocks of f x f pixels of patches (N, G*f, G*f, C) uint8, exact in float32.

    Rows are added as integers and columns by a product with zeros and ones: twenty times as fast on a CPU as
    average pooling, which is made for many channels.

    >>> block_sums(torch.full((1, 4, 4, 1), 255, dtype=torch.uint8), 2).flatten().tolist()
    [1020.0, 1020.0, 1020.0, 1020.0]
    """
    count, side, _, channels = patches.shape
    size = side // factor
    rows = patches.reshape(count, size, factor, side * channels)
    total = rows[:, :, 0].to(torch.int16)  # at most 255 * f, and f is far below 128
    for row in range(1, factor):
        total = total + rows[:, :, row]
    blocks = torch.eye(size, device=patches.device).repeat_interleave(factor, 0)
    columns: Tensor = torch.kron(blocks, torch.eye(channels, device=patches.device))  # (G*f*C, G*C)
    return (total.float().view(-1, side * channels) @ columns).view(count, size, size, channels)


@dataclass(frozen=True)
class Retina:
    """A multi-scale glimpse: concentric patches of side G, 2G, 4G ... averaged down to G x G.

    With `scales=1` it is the plain patch. Mnih et al. 2014, section 3.1 ("glimpse sensor").

    Args:
        size: side G of the finest patch in pixels.
        scales: number of patches S; patch s has side G * 2**s and the same centre.

    >>> sensor = Retina(4, scales=2)
    >>> images = torch.full((1, 16, 16, 3), 255, dtype=torch.uint8)
    >>> glimpses = sensor(images, torch.tensor([0]), torch.tensor([[[6, 6]]]))
    >>> tuple(glimpses.shape), glimpses.mean().item()
    ((1, 1, 6, 4, 4), 1.0)
    """

    size: int
    scales: int = 1

    def __call__(self, images: Tensor, index: Tensor, locations: Tensor) -> Tensor:
        """Glimpses in [0, 1], finest scale first.

        Args:
            images: (N, H, W, C) uint8.
            index: (B,) int64.
            locations: (B, T, 2) int64 top-left pixels of the finest patch.

        Returns:
            (B, T, S*C, G, G) float32.
        """
        return torch.cat([self._scale(images, index, locations, s) for s in range(self.scales)], dim=2)

    def _scale(self, images: Tensor, index: Tensor, locations: Tensor, scale: int) -> Tensor:
        factor = 2**scale
        margin = (factor - 1) * self.size // 2
        patches = gather_patches(images, index, locations - margin, self.size * factor)
        batch = patches.flatten(0, 1) if factor == 1 else block_sums(patches.flatten(0, 1), factor)
        glimpses: Tensor = batch.permute(0, 3, 1, 2).float() / (255 * factor * factor)
        return glimpses.view(*patches.shape[:2], *glimpses.shape[1:])

    def pixels(self) -> int:
        """Values that one glimpse delivers per colour channel."""
        return self.size * self.size * self.scales
