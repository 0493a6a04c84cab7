"""The operator's command line. Nothing in here is shipped, and nothing of the function imports it."""
