"""Where damage lies in a picture and what shape it has: boxes, random shapes, surfaces, whole layouts. It imports
dataset, masks and the ground files. Start with layout.py: a layout is a mask uint8 (H, W) of class ids, drawn
without any picture.
"""
