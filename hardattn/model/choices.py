"""What can be chosen about networks, for those who only name it: nothing slow is imported."""

DEVIATION = 0.17
"""Of a Gaussian policy, in normalised coordinates, as in the case study."""
WITH_DEVIATION = ("gaussian", "mixture")
WITHOUT_DEVIATION = (
    *("categorical", "product", "epe", "gaussian-state", "glance"),
    *("affine", "affine-attention", "affine-map"),
)
"""Policies of this project that take one, and those that do not, known without import; the default first."""
