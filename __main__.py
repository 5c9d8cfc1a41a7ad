"""``python -m attnexport`` is the command ``attnexport``."""

from .cli import main

if __name__ == "__main__":
    main()
