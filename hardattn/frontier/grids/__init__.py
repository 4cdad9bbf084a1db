"""Networks that `hardattn frontier` compares, one readable file for each data set; see `frontier_grid`."""
