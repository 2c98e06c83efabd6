"""Training and evaluation of a pack: cells that differ in the seed only and are trained as one stacked model.

It has no dependency on grids, tracking, engines or the command line.
"""
