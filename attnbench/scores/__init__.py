"""Score functions: how well a query and a key fit. One file each; a logit per query and key, nothing else."""
