"""Scopes, one per file: which source positions a query may use, and how logits (B,T,S) become weights (B,T,S)."""
