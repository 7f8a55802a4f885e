"""Sampling plans: their short form, and the search for plans that cost less.
It imports the room graphs and the files of the ground. Start with plans.py, then search.py.
"""
