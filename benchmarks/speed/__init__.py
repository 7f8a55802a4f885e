"""`wetgen bench`: load, warm rate, memory and power of a bundle on this machine, and what bounds them.

It may use the ground of benchmarks/ and the floors below, but torch only in baselines.py, loops.py and raw_graphs.py.
Start with cli.py, then sweep.py (what is run) and report.py (what is shown).
"""
