"""Hard-attention networks: train, evaluate, predict, load."""

from .evaluation import Evaluation
from .exporting.export import Exported
from .models import Model, load, train
from .prediction import Answers
from .stopping.stop import (
    AccuracyGain,
    AdaptiveTime,
    Confidence,
    Entropy,
    Fixed,
    Gain,
    Halting,
    Stochastic,
    Stop,
)
from .training.budget import Budget, TimeLimit
from .training.recipe import Recipe
from .training.run_folder import Tracker

__version__: str

__all__ = [
    "AccuracyGain",
    "AdaptiveTime",
    "Answers",
    "Budget",
    "Confidence",
    "Entropy",
    "Evaluation",
    "Exported",
    "Fixed",
    "Gain",
    "Halting",
    "Model",
    "Recipe",
    "Stochastic",
    "Stop",
    "TimeLimit",
    "Tracker",
    "__version__",
    "load",
    "train",
]
