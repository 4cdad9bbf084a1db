"""Names of the pictures of a store, for those who only name one: nothing slow is imported."""

PICTURES = ("sequences", "information", "masked-images", "completions")
OF_FIT = ("masked-images", "completions")
"""Those that a fit is needed for."""
EXTENT = {"sequences": 4, "masked-images": 4, "completions": 1}
"""How many images are shown unless they are named; of the others it is all of them together."""
