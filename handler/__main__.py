"""`python -m handler`: the operator's command line."""

from handler.cli.main import main

if __name__ == "__main__":
    main()
