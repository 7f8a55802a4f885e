"""Where damage lies in a picture and what shape it has: boxes, random shapes, severity, surfaces, layouts.

A layout is a mask uint8 (H, W) of class ids, drawn without any picture: what a generator is asked to paint.
"""
