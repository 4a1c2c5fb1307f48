"""``python -m optim``."""

from optim.cli import main

if __name__ == "__main__":
    main()
