"""The forms that a training set has as text, named after the programs that write them."""

AENET, AENET_PYTORCH = "trnset2ascii", "trainbin2ascii"
DIALECTS = (AENET_PYTORCH, AENET)
"""The first keeps everything."""
