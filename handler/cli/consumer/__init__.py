"""Judge a webhook's consumer from outside, with messages that are about nobody.

These commands need no account and little else. pyproject.toml installs them alone (`alone.py`), so
nothing here imports what only the operator's commands need.
"""
