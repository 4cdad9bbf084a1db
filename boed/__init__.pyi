"""Bayesian experimental design of glimpse sequences: fits the approximations of a task, designs with them."""

from .approximations import Approximations
from .calibration import CalibrationRow, measure_calibration
from .calibration_pictures import draw_calibration
from .combination import Combination
from .comparison.findings import finding
from .designs import Designs, design
from .fitting.fit import fit, load
from .settings import FitSettings
from .simulation import simulated

__all__ = [
    "Approximations",
    "CalibrationRow",
    "Combination",
    "Designs",
    "FitSettings",
    "__version__",
    "design",
    "draw_calibration",
    "finding",
    "fit",
    "load",
    "measure_calibration",
    "simulated",
]

__version__: str
