"""`python -m oncue.cli`: the program, wherever its script is installed."""

from oncue.cli import main

main()
