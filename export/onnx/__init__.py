"""ONNX files: writing a torch module as one, the weights that stand beside it, its types and operators checked.
It imports the runtime and the room graphs. Start with files.py.
"""
