"""Bayesian experimental design of glimpse sequences: fits the approximations of a task, designs with them."""

from .approximations import Approximations
from .calibration import CalibrationRow, measure_calibration
from .calibration_pictures import draw_calibration
from .combination import Combination
from .comparison.findings import finding
from .designs import Designs, design
from .engines.registry import engine
from .fitting.fit import fit, load
from .search.designer import Designer
from .settings import FitSettings
from .simulation import simulated
from .stored_designs import merge, store_designs

__all__ = [
    "Approximations",
    "CalibrationRow",
    "Combination",
    "Designer",
    "Designs",
    "FitSettings",
    "__version__",
    "design",
    "draw_calibration",
    "engine",
    "finding",
    "fit",
    "load",
    "measure_calibration",
    "merge",
    "simulated",
    "store_designs",
]

__version__: str
