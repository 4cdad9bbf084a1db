"""Names of what is imitated, for those who only name it: nothing slow is imported."""

SPLITS = ("design", "train")
"""Those whose images get sequences; the first is the default."""
SEQUENCES, RECORDED, PARTS = "sequences", "sequences-recorded", "sequences-parts"
SALIENT = "sequences-salient"
"""Stores of a run: designed, recorded from a network, of annotated parts; of ground-truth saliency."""
MADE_BY = {RECORDED: "hardattn record RUN_DIR", PARTS: "hardattn parts", SALIENT: "hardattn saliency"}
"""Commands that make stores of these names, which may have more behind them; all others `boed generate`."""
COLUMNS = "image_id part_name row col visible"
"""Of a line of annotations."""
