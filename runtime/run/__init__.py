"""What the commands do: tasks, limits, the run's folder and record, progress, reproduction and reports. It imports
every room below it. Start with run.py, then tasks.py.
"""
