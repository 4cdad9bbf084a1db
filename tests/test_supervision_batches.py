from itertools import islice, pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.dataset import Split
from data.errors import SettingsError, StoreError
from data.places import places_at
from data.sequences import Sequences
from supervision.batches import MixedBatches, supervised_split
from supervision.store import SequenceStore

GLIMPSES = 2


def split_of(ids: list[int]) -> Split:
    count = len(ids)
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 4, 4, 1).contiguous()
    return Split(images, torch.tensor(ids) % 10, torch.tensor(ids), "made-up")


def locations_of(ids: torch.Tensor, steps: int = GLIMPSES) -> torch.Tensor:
    """(M, T, 3), each telling its image id and step."""
    corners = torch.stack([ids[:, None].expand(-1, steps), torch.arange(steps).expand(len(ids), -1)], -1)
    return places_at(corners, 8)


PLAIN, GUIDED = split_of(list(range(100, 130))), split_of([3, 4, 8, 9, 12])


def mixed(batch_size: int, share: float, seed: int = 0) -> MixedBatches:
    return MixedBatches(
        PLAIN, GLIMPSES, batch_size, supervised=GUIDED, locations=locations_of(GUIDED.ids),
        supervised_share=share, seed=seed,
    )  # fmt: skip


@given(st.integers(1, 40), st.floats(0.05, 1), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_mask_labels_and_locations_belong_to_the_images(batch_size: int, share: float, seed: int) -> None:
    batches = mixed(batch_size, share, seed)
    for batch in islice(batches, 4):
        assert len(batch.index) == batch_size
        assert int(batch.supervised.sum()) == max(1, round(batch_size * share))
        ids = batches.pool.ids[batch.index]
        assert torch.equal(batch.supervised, ids < 100)
        assert torch.equal(batch.labels, ids % 10)
        expected = locations_of(ids) * batch.supervised[:, None, None]
        assert torch.equal(batch.locations, expected)


@pytest.mark.parametrize("batch_size", [4, 7, 16, 50])
def test_every_image_once_per_pass(batch_size: int) -> None:
    batches = mixed(batch_size, 0.4)
    drawn = list(islice(batches, 40))
    for low, count, supervised in ((0, 30, False), (30, 5, True)):
        order = torch.cat([batch.index[batch.supervised == supervised] for batch in drawn])
        whole = order[: len(order) // count * count].view(-1, count)
        assert len(whole) > 1
        assert torch.equal(whole.sort(dim=1).values, torch.arange(low, low + count).expand_as(whole))


def test_order_is_fixed_by_the_seed_and_starts_anew_with_each_iteration() -> None:
    def order(batches: MixedBatches) -> torch.Tensor:
        return torch.stack([batch.index for batch in islice(batches, 9)])

    batches = mixed(8, 0.25)
    assert torch.equal(order(batches), order(batches))
    assert torch.equal(order(batches), order(mixed(8, 0.25)))
    assert not torch.equal(order(batches), order(mixed(8, 0.25, seed=1)))


def test_without_sequences_nothing_is_supervised() -> None:
    batches = MixedBatches(PLAIN, GLIMPSES, 16)
    for batch in islice(batches, 5):
        assert len(batch.index) == 16
        assert not batch.supervised.any()
        assert not batch.locations.any()


@pytest.mark.parametrize("repeats", [1, 2, 4])
def test_images_that_come_several_times_are_each_once_per_pass(repeats: int) -> None:
    drawn = [batch.index for batch in islice(MixedBatches(PLAIN, GLIMPSES, 8, repeats=repeats), 30 * repeats)]
    rows = torch.cat(drawn).view(-1, repeats)
    assert torch.equal(rows, rows[:, :1].expand_as(rows))
    passes = rows[:, 0].view(-1, len(PLAIN))
    assert torch.equal(passes.sort(dim=1).values, torch.arange(len(PLAIN)).expand_as(passes))


def test_longer_sequences_are_cut() -> None:
    longer = locations_of(GUIDED.ids, 5)
    batches = MixedBatches(PLAIN, GLIMPSES, 8, supervised=GUIDED, locations=longer)
    assert torch.equal(batches.locations, longer[:, :GLIMPSES])


@pytest.mark.parametrize(("share", "batch_size"), [(-0.1, 4), (1.1, 4), (0.5, 0)])
def test_impossible_shares_are_refused(share: float, batch_size: int) -> None:
    with pytest.raises(SettingsError, match="supervised share"):
        mixed(batch_size, share)


@pytest.mark.parametrize("locations", [locations_of(GUIDED.ids, 1), locations_of(GUIDED.ids[:1])])
def test_sequences_that_do_not_fit_are_refused(locations: torch.Tensor) -> None:
    with pytest.raises(SettingsError, match="at least 2 locations for each of 5"):
        MixedBatches(PLAIN, GLIMPSES, 4, supervised=GUIDED, locations=locations)


def stored(path: Path, ids: list[int], done: list[int], steps: int = 3) -> SequenceStore:
    store = SequenceStore.write_to(path / "s.h5", {}, torch.tensor(ids), steps, torch.zeros(1, 3).long())
    rows = torch.tensor(done, dtype=torch.int64)
    locations = locations_of(store.ids[rows], steps)
    count = len(done)
    numbers = [torch.zeros(count, *shape) for shape in ((steps,), (steps + 1,), (steps, 1))]
    store.write(rows, Sequences(locations, *numbers))
    return store


def test_finished_sequences_meet_their_images(tmp_path: Path) -> None:
    store = stored(tmp_path, [4, 8, 12], done=[0, 2])
    chosen, locations = supervised_split(store, GUIDED, GLIMPSES)
    assert chosen.ids.tolist() == [4, 12]
    assert chosen.labels.tolist() == [4, 2]
    assert chosen.images[:, 0, 0, 0].tolist() == [1, 4]  # numbered as in GUIDED
    assert torch.equal(locations, locations_of(chosen.ids))


def test_all_finished_share_the_images_of_the_split(tmp_path: Path) -> None:
    store = stored(tmp_path, GUIDED.ids.tolist(), done=list(range(5)))
    chosen, _ = supervised_split(store, GUIDED, 3)
    assert chosen.images.data_ptr() == GUIDED.images.data_ptr()


def test_some_of_the_finished_are_a_fair_sample_that_grows(tmp_path: Path) -> None:
    """About half of 20 of 40 images are among the first 20; the first 20 themselves would all be."""
    every = split_of(list(range(200, 240)))
    store = stored(tmp_path, every.ids.tolist(), done=list(range(40)))
    drawn = [supervised_split(store, every, GLIMPSES, count) for count in range(1, 41)]
    for count, (chosen, locations) in enumerate(drawn, start=1):
        assert len(chosen) == count and torch.equal(locations, locations_of(chosen.ids))
    ids = [set(chosen.ids.tolist()) for chosen, _ in drawn]
    assert all(smaller < larger for smaller, larger in pairwise(ids))
    assert 5 <= sum(number < 220 for number in ids[19]) <= 15


def test_the_sample_is_of_what_is_finished(tmp_path: Path) -> None:
    store = stored(tmp_path, GUIDED.ids.tolist(), done=[0, 2, 3])
    chosen, _ = supervised_split(store, GUIDED, GLIMPSES, 2)
    assert len(chosen) == 2 and set(chosen.ids.tolist()) < {3, 8, 9}
    assert supervised_split(store, GUIDED, GLIMPSES, 9)[0].ids.tolist() == [3, 8, 9]


def test_stores_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"finished sequences in .*, found none"):
        supervised_split(stored(tmp_path / "none", [4, 8], done=[]), GUIDED, GLIMPSES)
    with pytest.raises(StoreError, match=r"at least 4 glimpses in .*, found 3"):
        supervised_split(stored(tmp_path / "short", [4, 8], done=[0]), GUIDED, 4)
    for stranger in (1, 5, 99):
        with pytest.raises(StoreError, match="found some missing"):
            supervised_split(stored(tmp_path / str(stranger), [stranger], done=[0]), GUIDED, GLIMPSES)
