"""Networks that `hardattn frontier` compares, a file for each data set."""
