import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.dataset import Split
from data.places import places_at
from data.pool import ImagePool
from data.retina import Retina, gather_patches


def noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(1, 256, shape, dtype=np.uint8))


def naive_patches(
    images: torch.Tensor, index: torch.Tensor, locations: torch.Tensor, size: int
) -> torch.Tensor:
    _, height, width, channels = images.shape
    out = torch.zeros(*locations.shape[:2], size, size, channels, dtype=torch.uint8)
    for b, image in enumerate(index.tolist()):
        for t, (top, left) in enumerate(locations[b].tolist()):
            for r in range(max(0, top), min(height, top + size)):
                for c in range(max(0, left), min(width, left + size)):
                    out[b, t, r - top, c - left] = images[image, r, c]
    return out


def naive_retina(
    images: torch.Tensor, index: torch.Tensor, locations: torch.Tensor, size: int, scales: int
) -> torch.Tensor:
    parts = []
    for factor in (2**s for s in range(scales)):
        corner = locations - (factor - 1) * size // 2
        patch = naive_patches(images, index, corner, size * factor).double() / 255
        batch, glimpses, _, _, channels = patch.shape
        blocks = patch.view(batch, glimpses, size, factor, size, factor, channels)
        parts.append(blocks.mean((3, 5)).permute(0, 1, 4, 2, 3))
    return torch.cat(parts, dim=2).float()


@given(
    st.integers(1, 4),
    st.integers(1, 7),
    st.integers(1, 7),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(0, 10**6),
)
@settings(max_examples=80, deadline=None)
def test_patches_equal_a_loop_anywhere_in_and_around_the_image(
    count: int, height: int, width: int, channels: int, size: int, seed: int
) -> None:
    images = noise((count, height, width, channels), seed)
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(0, count, (3,), generator=generator)
    locations = torch.randint(-12, 20, (3, 4, 2), generator=generator)
    expected = naive_patches(images, index, locations, size)
    assert torch.equal(gather_patches(images, index, locations, size), expected)


@pytest.mark.parametrize("size", [1, 3, 8, 20])
def test_corners_of_the_first_and_last_image_do_not_leak(size: int) -> None:
    images = noise((3, 8, 5, 3), 0)
    reach = [-size, 1 - size, -1, 0, 1, 8 - size, 7, 8, 5 - size, 4, 5, 1000, -1000]
    corners = torch.cartesian_prod(torch.tensor(reach), torch.tensor(reach))
    index = torch.tensor([0, 2])
    locations = corners.expand(2, -1, 2)
    expected = naive_patches(images, index, locations, size)
    assert torch.equal(gather_patches(images, index, locations, size), expected)


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_retina_equals_a_loop(scales: int) -> None:
    images = noise((3, 12, 9, 2), 1)
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(0, 3, (4,), generator=generator)
    locations = torch.randint(-6, 14, (4, 3, 2), generator=generator)
    glimpses = Retina(4, scales)(images, index, places_at(locations, 4))
    assert glimpses.dtype == torch.float32
    assert torch.allclose(glimpses, naive_retina(images, index, locations, 4, scales), atol=1e-6)


def averaged(image: torch.Tensor, place: list[int], size: int) -> torch.Tensor:
    """(C, G, G) means of the G x G cells of a square; of pixels in several cells the parts count."""
    row, col, side = place
    square = naive_patches(image[None], torch.tensor([0]), torch.tensor([[[row, col]]]), side)[0, 0]
    parts = square.double().repeat_interleave(size, 0).repeat_interleave(size, 1)  # (side G, side G, C)
    cells = parts.view(size, side, size, side, -1).mean((1, 3))
    return cells.permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("scales", [1, 2])
def test_squares_of_any_sides_are_averaged_down(scales: int) -> None:
    """In one batch, also over the border; the whole image is the same at all scales."""
    images = noise((3, 24, 24, 2), 3)
    places = torch.tensor([[[3, 5, 4], [2, 1, 8], [-3, 20, 6]], [[0, 0, 24], [7, 9, 5], [4, 4, 8]]])
    index = torch.tensor([2, 0])
    glimpses = Retina(4, scales)(images, index, places)
    for b, image in enumerate(index.tolist()):
        for t, (row, col, side) in enumerate(places[b].tolist()):
            for scale in range(scales):
                wide = side if side == 24 else side * 2**scale
                place = [row - (wide - side) // 2, col - (wide - side) // 2, wide]
                own = glimpses[b, t, 2 * scale : 2 * scale + 2]
                allowed = 0.501 / 255 if side == 24 else 1e-5  # grey levels of thumbnails are whole numbers
                torch.testing.assert_close(own, averaged(images[image], place, 4), atol=allowed, rtol=0)


def test_scales_of_the_retina_share_their_centre() -> None:
    images = torch.zeros(1, 40, 40, 1, dtype=torch.uint8)
    images[0, 20, 20] = images[0, 19, 20] = images[0, 20, 19] = images[0, 19, 19] = 255
    glimpse = Retina(4, scales=3)(images, torch.tensor([0]), torch.tensor([[[18, 18, 4]]]))[0, 0]
    for scale in glimpse:  # symmetric about the centre
        assert torch.equal(scale, scale.flip(0))
        assert torch.equal(scale, scale.T)
    assert Retina(4, scales=3).pixels() == 48


def test_no_images_and_no_glimpses_give_empty_results() -> None:
    images = noise((2, 8, 8, 1), 0)
    sensor = Retina(4, scales=2)
    assert sensor(images, torch.empty(0, dtype=torch.long), torch.zeros(0, 3, 3).long()).shape == (
        0,
        3,
        2,
        4,
        4,
    )
    assert sensor(images, torch.tensor([1]), torch.zeros(1, 0, 3).long()).shape == (1, 0, 2, 4, 4)


def test_only_the_pixels_of_the_glimpse_are_read(tmp_path: Path) -> None:
    """4 GB of images in a sparse file: to read them all is a million pages, the glimpses are few."""
    count, side = 80_000, 224
    images = np.memmap(tmp_path / "images", np.uint8, "w+", shape=(count, side, side, 1))
    pixel = torch.tensor([[[10, 20], [208, 208]], [[0, 0], [100, 3]], [[208, 208], [207, 1]]])
    index = torch.tensor([0, 40_000, count - 1])
    for b, image in enumerate(index.tolist()):
        for t, (row, col) in enumerate(pixel[b].tolist()):
            images[image, row : row + 16, col : col + 16, 0] = 10 * b + t + 1
    before = resource.getrusage(resource.RUSAGE_SELF)
    patches = gather_patches(torch.from_numpy(images), index, pixel, 16)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt < 2000
    expected = torch.tensor([[1, 2], [11, 12], [21, 22]], dtype=torch.uint8)
    assert torch.equal(patches, expected[..., None, None, None].expand_as(patches))


def test_pool_mixes_splits_like_one_stack_of_images() -> None:
    parts = [noise((n, 8, 8, 3), n) for n in (4, 1, 3)]
    splits = [Split(x, torch.arange(len(x)), torch.arange(len(x)) + 10 * n, "") for n, x in enumerate(parts)]
    pool, stack = ImagePool(splits), torch.cat(parts)
    generator = torch.Generator().manual_seed(0)
    for index in (torch.randint(0, 8, (20,), generator=generator), torch.tensor([7, 0]), torch.tensor([4])):
        locations = places_at(torch.randint(-3, 8, (len(index), 2, 2), generator=generator), 4)
        expected = Retina(4)(stack, index, locations)
        assert torch.equal(pool.glimpses(Retina(4), index, locations), expected)
    assert pool.ids.tolist() == [0, 1, 2, 3, 10, 20, 21, 22]
    assert len(pool) == 8
