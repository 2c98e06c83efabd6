"""Score functions, one per file: (B,T,D) queries and (B,S,D) keys → (B,T,S) logits.

A score returns logits only. Masking and normalisation are done by the scope, and the weighted sum by `Attention`.
"""
