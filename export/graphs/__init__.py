"""The torch module behind every graph of a bundle, and the rewrites that make a checkpoint's networks cheaper to run.
It imports the runtime, training and nothing else of export. Start with wrappers.py, then denoisers.py.
"""
