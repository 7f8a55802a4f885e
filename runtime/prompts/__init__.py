"""Prompts files: .txt, .csv and .jsonl with one grammar (docs/prompts.md), from bytes to a request for each pair.

This room imports the ground files only. Start with read.py, which reads and checks a file, then lines.py.
"""
