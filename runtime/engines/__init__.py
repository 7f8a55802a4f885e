"""What runs a graph. A device that cannot run it is never replaced by another.

It imports bundle and the ground files. Start with `open_engine` in ort.py, which gives an engine that is fed with
arrays; load.py puts a bundle's graphs on a GPU's own memory.
"""
