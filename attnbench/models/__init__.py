"""Models: from source and target words to logits and alignments. One file each."""
