"""How fast pairs are drawn, what they are worth, and experiments whose answers are in docs/.

The rooms may use runtime, training and export, and the four modules of this folder (document, plots, bootstrap,
metrics), which use no room. Speed and quality do not use each other; start with speed/cli.py or quality/cli.py.
"""
