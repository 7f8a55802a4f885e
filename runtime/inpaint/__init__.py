"""Painting damage into photographs and into backgrounds that were drawn before. It imports sampling, layouts, prompts,
bundle, masks and the ground files. Start with draw.py, then painter.py.
"""
