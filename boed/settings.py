"""What can be chosen about a fit, and what a fit was of; kept in files of weights and of sequences."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from data.errors import SettingsError

LARGEST_SEED = 2**31
FEWEST_ITERATIONS, MOST_ITERATIONS = 4000, 10_000


@dataclass(frozen=True)
class FitSettings:
    """What can be chosen about a fit.

    Args:
        glimpses: T.
        places: size L of the codebook; a grid of up to 200 locations is taken whole.
        iterations: of each training; the second half of q's is on-policy. Default a fifth of the number of
            training images, but 4,000 to 10,000.
        width: of q's embedding, or of the first layer of a small AVP-CNN (a sixth of it).
        resolution: side in pixels at which an AVP-CNN, a CVAE and a factor analysis see images, at most.
        backbone: of an AVP-CNN, see `boed.posteriors.backbones`.
        pretrained: whether a backbone of torchvision starts from its published weights.
        seed: of everything that is drawn.
        trial_images: that designs are tried on, at most, while fitting (for the states that q meets, its
            calibration and the weights of an image's own map), and that average maps are made of where
            images have looked at different places. The fewer the faster, and the noisier what is estimated.
            None: 300 to 1,000, and for the weights 150,000 over the number of places.
        balanced: whether the joint model has its classes as frequent as each other, so that a rare one
            counts. All that is learned and predicted is then of that model, as are samples of the bank and
            of images that set levels; see `boed.search.balance`.

    Raises:
        SettingsError: a size below 1, or an impossible seed.
    """

    glimpses: int
    places: int = 60
    iterations: int = FEWEST_ITERATIONS
    width: int = 96
    resolution: int = 48
    backbone: str = "small"
    pretrained: bool = False
    seed: int = 0
    trial_images: int | None = None
    balanced: bool = False

    def __post_init__(self) -> None:
        for name in ("glimpses", "places", "iterations", "width", "resolution", "trial_images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"expected {name} of at least 1, found {value}")
        if not 0 <= self.seed < LARGEST_SEED:
            raise SettingsError(f"expected seed of at least 0 and below {LARGEST_SEED}, found {self.seed}")


LATER = ("together", "trial_images", "balanced")


@dataclass(frozen=True)
class FittedSettings(FitSettings):
    """The settings of a fit, and what was fitted.

    Args:
        posterior: name of q.
        dataset, target: names of what it was fitted on.
        together: the attributes that q was trained on together, this target among them; None: it alone.

    >>> FittedSettings(glimpses=3, posterior="exact").to_json()["posterior"]
    'exact'
    """

    posterior: str = "glimpse-set"
    dataset: str = ""
    target: str = ""
    together: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As `FittedSettings(**...)` takes it; what came later says nothing where it is not used."""
        return {name: value for name, value in asdict(self).items() if name not in LATER or value}
