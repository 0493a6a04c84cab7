"""`python -m handler`: the operator's command line."""

import sys

try:
    from handler.cli.main import main
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is missing; run `make bundle` once, then `.venv/bin/python -m handler`")

if __name__ == "__main__":
    main()
