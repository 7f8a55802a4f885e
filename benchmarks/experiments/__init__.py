"""Scripts that were run once or are run on other machines: each answers one question, and docs/ has the answer.

They may use speed, quality and everything below; nothing uses them.
Start with the docstring of the script: its first lines are the question and the command.
"""
