"""Masks of class ids and the images beside them: class table, files, components, cleanup, run lengths, statistics.

This room imports the ground files only. Start with classes.py, then images.py.
"""
