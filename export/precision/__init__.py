"""Graphs that compute in float16 or bfloat16: which modules stay float32, which candidate draws what float32 draws.
It imports the rooms graphs and onnx, and the files of the ground. Start with mixed_precision.py.
"""
