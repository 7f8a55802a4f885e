"""A checkpoint becomes a bundle: plans, graphs for every target, and the gate that compares them with the checkpoint.
It imports the runtime and training. Start with bundle.py; reference.py and verify.py are the gate.
"""
