"""Models, one per file: from source and target words to output logits and alignments."""
