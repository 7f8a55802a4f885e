"""One file for each format that `wetgen convert` writes or reads, all on the ground of base.py. It imports masks, the
dataset room and the ground files. Start with base.py, then semantic.py.
"""
