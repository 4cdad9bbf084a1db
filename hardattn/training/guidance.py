"""Which images a training imitates the sequences of: checked against the task before anything is written."""

from __future__ import annotations

import torch
from torch import Tensor

from data.dataset import DataSet, Split
from data.errors import SettingsError, StoreError
from data.geometry import Geometry
from data.places import is_whole
from hardattn.model.policies import CategoricalPolicy
from hardattn.model.registry import POLICIES
from hardattn.training.settings import Supervision
from supervision.batches import Maps, supervised_split
from supervision.source import SequenceSource

Guided = tuple[Split, Tensor]
"""Images, and their places (M, T, 3)."""


def guided_images(
    dataset: DataSet,
    store: SequenceSource | None,
    geometry: Geometry,
    steps: int,
    count: int | None,
    policy: str,
    everyone: bool = False,
) -> Guided | None:
    """Images of the design or the train split with the sequences that they have in a store.

    Where all images of a split have one, it is that split itself: its images are not copied.

    Args:
        store: None: there is nothing to imitate.
        geometry: of the training.
        steps: T.
        count: only so many images, a fair sample that is part of every larger one.
        policy: that is to imitate them, a key of `hardattn.model.registry.POLICIES`.
        everyone: whether all training images are to be supervised; one order that is the same for all images
            of the design split then serves them as well.

    Raises:
        SettingsError: a count without a store, or locations that the policy cannot choose.
        StoreError: the sequences are of another task, too short or not done.
    """
    if store is None:
        if count is not None:
            raise SettingsError(
                "expected --supervise with --supervised-images, found none; add it or leave both out"
            )
        return None
    if count is not None and count < 1:
        raise SettingsError(f"expected at least 1 supervised image, found {count}")
    split = dataset["train"]
    if store.settings.get("fingerprint") != split.fingerprint:
        split = dataset["design"]
    expected = {"dataset": dataset.name, "target": dataset.target, "fingerprint": split.fingerprint}
    store.require({name: value for name, value in expected.items() if name in store.settings})
    chosen, locations = supervised_split(store, split, steps, count)
    require_reachable(locations, geometry, policy)
    common = bool((locations == locations[:1]).all()) and count is None
    if everyone and common and split is not dataset["train"]:
        return dataset["train"], locations[:1].expand(len(dataset["train"]), -1, -1)
    return chosen, locations


def guided_maps(store: SequenceSource, images: Split, geometry: Geometry, steps: int, policy: str) -> Maps:
    """The EPE maps of images with sequences in a store, over those of its candidates that lie on the grid.

    Of a store of parts, which has no maps, they are those of the annotated boxes, see `box_maps`.

    Args:
        steps: T.
        policy: that is to be regressed on them, a key of `hardattn.model.registry.POLICIES`.

    Raises:
        SettingsError: the policy is not categorical.
        StoreError: the store has no maps and the images no boxes, or a map says nothing.
    """
    if not issubclass(POLICIES[policy], CategoricalPolicy):
        raise SettingsError(f"expected --policy categorical with --method saliency, found {policy}")
    if images.boxes is not None and store.settings.get("design", {}).get("source") == "parts":
        return box_maps(images.boxes.cpu(), geometry, steps)
    grid, places = geometry.grid(), store.candidates
    _, on_grid = grid.find(places)
    if not bool(on_grid.any()):
        raise StoreError(
            f"expected EPE maps of places on the grid in {store.name}, found none; make designs with "
            "`boed generate`, whose stores have them, parts of annotated boxes with `hardattn parts`, or "
            "saliency with `hardattn saliency`"
        )
    maps = store.load(store.rows_of(images.ids.tolist())).epe_map[:, :steps, on_grid]
    if bool((maps.isnan().any(-1) | maps.isinf().all(-1)).any()):
        raise StoreError(
            f"expected finite values in every EPE map of {store.name}, found a map without; generate it again"
        )
    return Maps(maps, places[on_grid])


def box_maps(boxes: Tensor, geometry: Geometry, steps: int) -> Maps:
    r"""Ground-truth saliency: at every place of the grid how little of the object a glimpse shows.

    $s_l = 1 - |g_l \cap b| / \min(|g_l|, |b|)$, 0 where the glimpse g lies within the box b or around it, 1
    where it misses it; the same at every step. Of several sides, of which a wide one lies around everything,
    $s_l = 1 - |g_l \cap b| / |g_l \cup b|$, 0 where the glimpse is the box.

    Args:
        boxes: (M, 4) first row and column of the object, and those after its last, in pixels.
        steps: T.

    >>> one = Geometry(8, 8, 1, glimpse_size=4, per_axis=3)
    >>> box_maps(torch.tensor([[0, 0, 4, 4]]), one, 1).values.view(3, 3).tolist()
    [[0.0, 0.5, 1.0], [0.5, 0.75, 1.0], [1.0, 1.0, 1.0]]
    """
    places = geometry.grid().locations
    corners, size = places[:, :2], places[:, 2:]
    first, last = boxes[:, None, :2], boxes[:, None, 2:]
    sides = torch.minimum(corners + size, last) - torch.maximum(corners, first)  # (M, L, 2)
    shown = sides.clamp(min=0).prod(-1)
    own, object_ = size.square().view(1, -1), (last - first).prod(-1)  # (1, L), (M, 1)
    whole = own + object_ - shown if geometry.sides else torch.minimum(own, object_)
    missed = 1 - shown / whole
    return Maps(missed[:, None].expand(-1, steps, -1), places)


def designed_gains(store: SequenceSource | None, guided: Guided | None) -> Tensor:
    """(M, T) information gain in nats that the designs of guided images expected of their glimpses.

    EIG_t = H[q | y_<t] - EPE_t, both as the store has them.

    Raises:
        SettingsError: there are no sequences to imitate.
        StoreError: sequences of other images stand for these, or the store knows no EPE.
    """
    if store is None or guided is None:
        raise SettingsError("expected sequences with --gain-target design, found none; add --supervise")
    images, steps = guided[0].ids.cpu(), guided[1].shape[1]
    if not bool(torch.isin(images, store.ids).all()):
        raise StoreError(
            f"expected a design of each training image in {store.name}, found one order for all; make them "
            "with `boed generate --split train --images all`"
        )
    designs = store.load(store.rows_of(images.tolist()))
    gains = designs.entropy[:, :steps] - designs.epe[:, :steps]
    if not bool(gains.isfinite().all()):
        raise StoreError(
            f"expected the EPE of every glimpse in {store.name}, found sequences without; make designs with "
            "`boed generate`"
        )
    return gains


def require_everyone(guided: Guided, train: Split) -> None:
    """Raises SettingsError where some of the training images have nothing to imitate.

    >>> images = Split(torch.zeros(2, 8, 8, 1), torch.arange(2), torch.arange(2), "")
    >>> require_everyone((images, torch.zeros(2, 3, 3)), images)
    """
    if not torch.equal(guided[0].ids.cpu(), train.ids.cpu()):
        raise SettingsError(
            f"expected sequences of all {len(train)} training images, found {len(guided[0])} of these or "
            "others; make them with `boed generate --split train --images all`"
        )


def require_reachable(locations: Tensor, geometry: Geometry, policy: str) -> None:
    """Raises SettingsError for places (..., 3) that a policy cannot choose.

    >>> off_grid = torch.tensor([[1, 2, 4]])
    >>> require_reachable(off_grid, Geometry(8, 8, 1, glimpse_size=4, per_axis=2), "gaussian")
    """
    glances = is_whole(locations, geometry)
    a_place = bool(geometry.sides)  # where there are several sides, the whole image is one like any other
    fits = bool(glances[..., 0].all()) if geometry.first_glance else a_place or not bool(glances.any())
    if not fits:
        found = "none" if geometry.first_glance else "one"
        raise SettingsError(
            f"expected sequences with a first glance exactly where the task has one, found {found}; make "
            "sequences and train both with --first-glance, or both without"
        )
    locations = locations[..., int(geometry.first_glance) :, :]
    if POLICIES[policy].on_grid:
        try:
            geometry.grid().index(locations)
        except SettingsError as error:
            other = "" if geometry.sides else ", or a policy without one: --policy gaussian"
            raise SettingsError(f"{error}{other}") from None
    last = torch.tensor(geometry.image_size) - locations[..., 2:]
    corners, whole = locations[..., :2], is_whole(locations, geometry)
    outside = ((corners < 0) | (corners > last)).any(-1) & ~whole
    if bool(outside.any()):
        stray, most = locations[outside][0].tolist(), last[outside][0].tolist()
        raise SettingsError(
            f"expected glimpses inside the image, at most {most}, found {stray}; use sequences made for "
            "images of this size"
        )


def supervision_settings(
    store: SequenceSource | None, guided: Guided | None, geometry: Geometry
) -> Supervision | None:
    """What identifies the imitated sequences in the settings of a run."""
    if store is None or guided is None:
        return None
    # of one side without it, as when places had none, so that runs of then are known again
    places = guided[1] if geometry.sides else guided[1][..., :2]
    total = int((places.flatten() * torch.arange(1, places.numel() + 1)).sum())
    return Supervision(len(guided[0]), total, store.settings)
