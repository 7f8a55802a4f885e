"""`wetgen split`, `wetgen eval` and `wetgen judge`: whether synthetic pairs are sound, and whether segmenters gain.

It may use the ground of benchmarks/ and the floors below, never speed or experiments.
Start with cli.py, then evaluate.py, which computes every figure in its order.
"""
