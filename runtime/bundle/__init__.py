"""A bundle, which is what export hands over: its files, graphs, sampling plans, targets and tokenizer.

It may import masks and the ground files. Start with `Bundle` in bundle.py.
"""
