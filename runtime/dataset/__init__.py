"""The dataset folder: reading, checking and writing it, loose or in shards, statistics, and other tools' formats. It
imports masks and the ground files. Start with reader.py, then writer.py.
"""
