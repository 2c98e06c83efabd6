"""Tasks: generators of examples with gold links, the split, and the streams that training and evaluation use."""
