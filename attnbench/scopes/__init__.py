"""Scopes: which source positions a query may use, and how logits become weights. One file each."""
