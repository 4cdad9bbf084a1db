"""Bayesian experimental design of glimpse sequences: fits the approximations of a task, designs with them."""

from .approximations import Approximations
from .combination import Combination
from .designs import Designs, design
from .fitting.fit import fit, load
from .settings import FitSettings
from .simulation import simulated

__all__ = [
    "Approximations",
    "Combination",
    "Designs",
    "FitSettings",
    "__version__",
    "design",
    "fit",
    "load",
    "simulated",
]

__version__: str
