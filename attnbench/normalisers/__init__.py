"""Normalisers, one per file: how the logits (B,T,S) of the positions that a query may use become weights (B,T,S)."""
