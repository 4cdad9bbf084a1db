"""The pictures of a store of sequences by name, each from what the store, its images and a fit tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from boed.approximations import Approximations
from boed.pictures.completions import completions_of, draw_completions
from boed.pictures.glimpses import row_of
from boed.pictures.information import draw_information, information_maps
from boed.pictures.masked_images import draw_masked_images, require_avp_cnn
from boed.pictures.sequences import draw_sequences
from data.dataset import DataSet
from data.errors import SettingsError
from data.mean_image import mean_image
from data.sample import sample_rows
from data.sequences import Sequences
from supervision.finding import split_of
from supervision.store import SequenceStore

AVERAGED = 300  # images behind a mean entropy or gain, at most


def draw_picture(
    path: Path,
    picture: str,
    store: SequenceStore,
    dataset: DataSet,
    ids: Sequence[int],
    fitted: Approximations | None = None,
) -> None:
    """Writes one of `boed.pictures.choices.PICTURES` as a PNG.

    Args:
        dataset: that the store was made for.
        ids: increasing, the images shown; of "information" it is at most 300 of all.
        fitted: what masked images and completions come from.

    Raises:
        SettingsError: a fit is missing, of other glimpses, or has no masked images; or no such image.
        StoreError: an image has no finished sequence, or the sequences are of other images.
    """
    split = dataset[split_of(store, dataset)]
    if picture == "information":
        maps = information_maps(
            some_of(store), store.candidates, dataset["train"], store.geometry, len(dataset.classes)
        )
        draw_information(path, maps, mean_image(split), store.geometry)
        return
    sequences = store.load(store.rows_of(list(ids)))
    if picture == "sequences":
        draw_sequences(path, split, ids, of_all(sequences, store), store.candidates, store.geometry)
        return
    fitted, places = _require_fit(fitted, store), sequences.locations
    if picture == "masked-images":
        draw_masked_images(path, require_avp_cnn(fitted.q), split, ids, places, dataset.classes)
    else:
        pairs = zip(ids, places, strict=True)
        found = [completions_of(fitted, split, row_of(split, image), own) for image, own in pairs]
        draw_completions(path, split, ids, places, found, dataset.classes, store.geometry)


def some_of(store: SequenceStore) -> Sequences:
    """Finished sequences of a store, a fair sample of 300 where there are more."""
    finished = store.ids[store.done]
    rows = store.rows_of(finished.tolist())  # refuses a store without any
    return store.load(rows[sample_rows(len(rows), min(AVERAGED, len(rows)))])


def of_all(sequences: Sequences, store: SequenceStore) -> Sequences:
    """The sequences; where a fixed order has one map for all images, with the mean entropy of these.

    What such a map says is of an average image: less the entropy of a single one it would be no gain.
    """
    if store.settings.get("design", {}).get("source") != "fixed-order":
        return sequences
    some = store.done.nonzero().view(-1)[:AVERAGED]
    return replace(sequences, entropy=store.load(some).entropy.mean(0).expand_as(sequences.entropy))


def _require_fit(fitted: Approximations | None, store: SequenceStore) -> Approximations:
    """The fit; raises SettingsError where there is none, or one that sees other glimpses."""
    if fitted is None:
        raise SettingsError("expected a fit for this picture, found none; name its folder by --fit")
    own, other = store.geometry, fitted.geometry
    if (own.glimpse_shape(), own.sides, own.image_size) != (
        other.glimpse_shape(),
        other.sides,
        other.image_size,
    ):
        raise SettingsError(
            f"expected a fit of the glimpses of {store.name}, {own.to_json()}, found one of "
            f"{other.to_json()}; name another --fit"
        )
    return fitted
