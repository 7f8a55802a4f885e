"""Masks of class ids and the pictures beside them: the class table, regions, statistics, run lengths, reading and
writing. It imports the ground files only. Start with classes.py, then images.py.
"""
