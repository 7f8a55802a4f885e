"""What the commands do: options, tasks, limits, the run's folder and record, progress, reproduction and reports.

It imports every room below it. Start with options.py, what a run is asked for, then tasks.py and run.py.
"""
