"""The two reports of an evaluation: worth.py on the pairs, task.py on the segmentation task.

They read an evaluation's results and its pairs, and compute no figure of their own; they may use plots and document.
Start with worth.py.
"""
