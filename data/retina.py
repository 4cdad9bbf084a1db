"""The sensor: glimpses of uint8 images, gathered without touching any other pixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from data.averaging import square_averages
from data.crop import crops
from data.errors import SettingsError
from data.glance import thumbnails
from data.gpu import full_precision, is_gpu
from data.pyramid import summed
from data.sliding import squares_of, window_sums
from data.strips import strips

LARGEST_FACTOR = 128  # pixels whose sum in a row int16 holds


def gather_patches(images: Tensor, index: Tensor, corners: Tensor, size: int) -> Tensor:
    """Square patches at any corner of any image; pixels outside the image read zero.

    One `index_select` over the overlapping pixel rows of all images: a patch of G x G x C bytes
    costs G copies of G*C contiguous bytes, and no other byte of the images is read.

    Args:
        images: (N, H, W, C) uint8 or other integers, contiguous, on any device (a memory map is fine).
        index: (B,) int64, which image.
        corners: (B, T, 2) int64 top-left pixels (row, col), anywhere.
        size: side G of the patch in pixels.

    Returns:
        (B, T, G, G, C) of the images' type.

    >>> images = torch.arange(16, dtype=torch.uint8).view(1, 4, 4, 1)
    >>> gather_patches(images, torch.tensor([0]), torch.tensor([[[2, -1]]]), 2).flatten().tolist()
    [0, 8, 0, 12]
    """
    _, height, width, channels = images.shape
    span = torch.arange(size, device=images.device)
    rows = corners[..., 0, None] + span  # (B, T, G)
    cols = corners[..., 1, None] + span
    row_inside, col_inside = (rows >= 0) & (rows < height), (cols >= 0) & (cols < width)
    first = (index[:, None, None] * height + rows.clamp(0, height - 1)) * width  # (B, T, G) pixel of each row
    if is_gpu(images.device):
        patches = _within_rows(images, first, cols)
    else:
        copied = strips(images.view(-1), (first + corners[..., 1, None]) * channels, size * channels)
        patches = copied.view(*corners.shape[:2], size, size, channels)  # of (B*T*G, G*C)
        if bool(row_inside.all() & col_inside.all()):
            return patches
    patches *= row_inside.to(images.dtype)[..., :, None, None]
    patches *= col_inside.to(images.dtype)[..., None, :, None]
    return patches


def _within_rows(images: Tensor, first: Tensor, cols: Tensor) -> Tensor:
    """(B, T, G, G, C) pixels of columns (B, T, G) in rows from `first` (B, T, G); out of the image any.

    No strip leaves its row, so that a GPU need not be asked whether one leaves the buffer; each is moved.
    """
    _, _, width, channels = images.shape
    size = cols.shape[2]
    reads = min(size, width)
    start = cols[..., :1].clamp(0, width - reads)  # (B, T, 1)
    windows = images.view(-1).as_strided((images.numel() - reads * channels + 1, reads * channels), (1, 1))
    strips = windows.index_select(0, ((first + start) * channels).reshape(-1))
    patches = strips.view(*cols.shape, reads, channels)
    moved = (cols - start).clamp(0, reads - 1)[:, :, None, :, None]  # (B, T, 1, G, 1)
    return patches.gather(3, moved.expand(-1, -1, size, -1, channels))


def block_sums(patches: Tensor, factor: int) -> Tensor:
    """(N, G, G, C) sums over blocks of f x f pixels of patches (N, G*f, G*f, C) uint8, exact in float32.

    Rows are added as integers and columns by a product with zeros and ones: twenty times as fast on a CPU as
    average pooling, which is made for many channels.

    >>> block_sums(torch.full((1, 4, 4, 1), 255, dtype=torch.uint8), 2).flatten().tolist()
    [1020.0, 1020.0, 1020.0, 1020.0]
    """
    count, side, _, channels = patches.shape
    size = side // factor
    if is_gpu(patches.device):  # whose products may be of fewer digits than a sum has
        cells = patches.reshape(count, size, factor, size, factor, channels)
        return cells.sum((2, 4), dtype=torch.int32).float()
    rows = patches.reshape(count, size, factor, side * channels)
    total = rows[:, :, 0].to(torch.int16)  # at most 255 * f, and f is far below 128
    for row in range(1, factor):
        total = total + rows[:, :, row]
    blocks = torch.eye(size, device=patches.device).repeat_interleave(factor, 0)
    columns: Tensor = torch.kron(blocks, torch.eye(channels, device=patches.device))  # (G*f*C, G*C)
    return (total.float().view(-1, side * channels) @ columns).view(count, size, size, channels)


@dataclass(frozen=True)
class Retina:
    """The sensor: G x G values of the square at a place, or of concentric squares.

    The square of a place (row, col, side) is averaged down to G x G; of side G it is the pixels themselves,
    and the whole image is a thumbnail. With several scales the squares are side, 2 side, 4 side, .. wide
    around one centre: Mnih et al. 2014, section 3.1 ("glimpse sensor"). What reaches over the border reads
    zeros. An affine sensor interpolates G x G values instead, of any square, see `data.crop.crops`.

    Args:
        size: G, side of what one square gives.
        scales: number of squares S.
        affine: whether it interpolates; then S is 1.
        sides: that places have, where it is known: then a GPU need not be asked; (): any.

    >>> sensor = Retina(4, scales=2)
    >>> images = torch.full((1, 16, 16, 3), 255, dtype=torch.uint8)
    >>> glimpses = sensor(images, torch.tensor([0]), torch.tensor([[[6, 6, 4]]]))
    >>> tuple(glimpses.shape), glimpses.mean().item()
    ((1, 1, 6, 4, 4), 1.0)
    """

    size: int
    scales: int = 1
    affine: bool = False
    sides: tuple[int, ...] = ()

    def __call__(self, images: Tensor, index: Tensor, places: Tensor) -> Tensor:
        """Glimpses in [0, 1], finest scale first.

        Args:
            images: (N, H, W, C) uint8.
            index: (B,) int64.
            places: (B, T, 3) int64 rows, columns and sides of the finest squares; float ones may lie between
                the pixels and get a gradient, see `data.crop.crops`.

        Returns:
            (B, T, S*C, G, G) float32, also where it is called under autocast.
        """
        with full_precision(images.device):  # bfloat16 rounds sums above 256
            return self._glimpses(images, index, places)

    def _glimpses(self, images: Tensor, index: Tensor, places: Tensor) -> Tensor:
        """(B, T, S*C, G, G), see above."""
        if self.affine:
            return crops(images, index, places.float(), self.size, factor=1)
        if places.is_floating_point():
            return torch.cat([crops(images, index, wider, self.size) for wider in self._around(places)], 2)
        if self.sides and is_gpu(images.device):
            return self._of_known_sides(images, index, places)
        wide = places[..., 2] != self.size
        if not bool(wide.any()):
            return self._squares(images, index, places[..., :2], self.size)
        narrow = places[..., :2].masked_fill(wide[..., None], 0)
        glimpses = self._squares(images, index, narrow, self.size)
        for side in places[..., 2][wide].unique().tolist():
            where = places[..., 2] == side
            image, step = where.nonzero().T  # (M,) each
            glimpses[image, step] = self._wide(images, index[image], places[image, step], side)
        return glimpses

    def _of_known_sides(self, images: Tensor, index: Tensor, places: Tensor) -> Tensor:
        """The same with every side looked at everywhere: sooner done by a GPU than told which is where."""
        every = index.repeat_interleave(places.shape[1])
        glimpses: Tensor | None = None
        for side in self.sides:
            if side == self.size:
                found = self._squares(images, index, places[..., :2], side)
            else:
                found = self._wide(images, every, places.flatten(0, 1), side).unflatten(0, places.shape[:2])
            here = (places[..., 2] == side)[..., None, None, None]
            glimpses = found if glimpses is None else torch.where(here, found, glimpses)
        if glimpses is None:
            raise SettingsError("expected a side of the places, found none; name one")
        return glimpses

    def _around(self, places: Tensor) -> list[Tensor]:
        """The squares (B, T, 3) of each scale, around the centres of the finest."""
        corners, side = places.split([2, 1], -1)
        widths = [side * 2**scale for scale in range(self.scales)]
        return [torch.cat([corners - (width - side) / 2, width], -1) for width in widths]

    def _wide(self, images: Tensor, index: Tensor, places: Tensor, side: int) -> Tensor:
        """(M, S*C, G, G) of squares (M, 3) of one side, not G; the whole image is the same at all scales."""
        if side >= max(images.shape[1:3]):
            small = thumbnails(images, self.size)[index].permute(0, 3, 1, 2).float() / 255
            return small.repeat(1, self.scales, 1, 1)
        sums = self._shared_sums(images, places, side)
        if sums is not None:
            factor = side // self.size
            blocks = gather_patches(sums, index, places[:, None, :2] // factor, self.size)[:, 0]
            return blocks.permute(0, 3, 1, 2).float() / (255 * factor * factor)
        return self._squares(images, index, places[:, None, :2], side)[:, 0]

    def _shared_sums(self, images: Tensor, places: Tensor, side: int) -> Tensor | None:
        """Sums over blocks of all images, where squares at places (M, 3) are made of such and it pays."""
        factor, rest = divmod(side, self.size)
        if self.sides and is_gpu(images.device):
            return None
        if rest or self.scales > 1 or bool((places[:, :2] % factor).any()):
            return None
        return summed(images, factor, len(places) * side * side)

    def _squares(self, images: Tensor, index: Tensor, corners: Tensor, side: int) -> Tensor:
        """(B, T, S*C, G, G) of all scales, the finest of one side, at corners (B, T, 2)."""
        return torch.cat([self._scale(images, index, corners, side, s) for s in range(self.scales)], dim=2)

    def _scale(self, images: Tensor, index: Tensor, corners: Tensor, side: int, scale: int) -> Tensor:
        width = side * 2**scale
        around = corners - (width - side) // 2
        sums = self._window_sums(images, around, width)
        if sums is not None:
            glimpses = squares_of(sums, index, around, self.size) / self._white(width)
            return glimpses.permute(0, 1, 4, 2, 3)
        patches = gather_patches(images, index, around, width)
        glimpses = self._averaged(patches.flatten(0, 1)).permute(0, 3, 1, 2)
        return glimpses.reshape(*patches.shape[:2], *glimpses.shape[1:])

    def _window_sums(self, images: Tensor, corners: Tensor, width: int) -> Tensor | None:
        """Sums over windows of all images, where a scale of several is made of such and it pays."""
        factor, rest = divmod(width, self.size)
        if self.scales == 1 or rest or not 1 < factor <= LARGEST_FACTOR or is_gpu(images.device):
            return None
        return window_sums(images, factor, self.size, corners[..., 0].numel() * width * width)

    def _white(self, width: int) -> float:
        """The sum over a block of white pixels."""
        return float(255 * (width // self.size) ** 2)

    def _averaged(self, patches: Tensor) -> Tensor:
        """(N, G, G, C) in [0, 1] of patches (N, P, P, C) uint8."""
        factor, rest = divmod(patches.shape[1], self.size)
        if rest or factor > LARGEST_FACTOR:
            return square_averages(patches, self.size) / 255
        values = patches.float() if factor == 1 else block_sums(patches, factor)
        return values / self._white(patches.shape[1])

    def pixels(self) -> int:
        """Values that one glimpse delivers per colour channel."""
        return self.size * self.size * self.scales
