"""Settings of the published tables, one readable file each; see `hardattn.experiments.reproduce.settings`."""
