"""One file for each format that `wetgen convert` writes or reads. It imports masks, the dataset room and the ground
files. Start with base.py, then semantic.py.
"""
