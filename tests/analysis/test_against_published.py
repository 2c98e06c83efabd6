"""The statistics against those of rliable, arch and statsmodels, on the same numbers.

The references were computed with rliable 1.2.0 (50,000 resamples; 20,000 for the probability of improvement), arch
7.2.0 and statsmodels 0.15.0, on numpy 2.4.6 and pandas 2.3.3. Where these are installed, they are asked again.
"""
