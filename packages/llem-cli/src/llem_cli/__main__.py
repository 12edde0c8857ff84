"""`python -m llem_cli`."""

from llem_cli import main

if __name__ == "__main__":  # a spawned child process imports this module under another name
    main()
