"""livepair: from an upload to COS to one signed liveness verdict. README.md beside this shows the way."""

__version__ = "0.1.0"
