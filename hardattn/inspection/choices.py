"""What can be chosen about inspections, for those who only name it: nothing slow is imported."""

GLIMPSE, IMAGES, VALUES, BATCHES = 2, 100, 41, 20
FEWEST_VALUES, FEWEST_BATCHES = 3, 2
"""With which there is a finite difference, and a variance."""
