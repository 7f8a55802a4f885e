"""From photographs, masks and captions to a checkpoint: networks, data, stages and the loop that trains them.
It imports runtime and, in scenes/, nothing else of its own floor; nothing of export or benchmarks.
Start with run.py, then loop.py and stages/vae.py.
"""
