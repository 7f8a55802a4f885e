"""Draws layouts, masks of class ids without an image: where damage lies, on which surface, and what shape it has.

It may import dataset, masks and the ground files. Start with `random_layout` and `draw_layout` in layout.py.
"""
