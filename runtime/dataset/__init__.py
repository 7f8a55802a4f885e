"""The dataset folder: its rows, reading, checking and writing it, loose or in shards, and its conversion to other
formats. It imports masks and the ground files. Start with reader.py, then writer.py.
"""
