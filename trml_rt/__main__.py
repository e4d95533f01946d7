"""`python -m trml_rt`: the program `trml-rt`."""

from trml_rt.cli import main

main()
