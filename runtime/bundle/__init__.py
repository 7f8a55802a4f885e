"""What an export hands over: the files of a bundle, its graphs, sampling plans, targets and tokenizer. It imports
masks and the ground files. Start with bundle.py.
"""
