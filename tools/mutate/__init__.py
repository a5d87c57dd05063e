"""Mutation testing: changes one thing in a module, and asks whether a test notices.

    python -P -m tools.mutate [PATH ...]        see CONTRIBUTING.md

`source` says what can be changed, `selection` which tests look first, `trial` runs them in a copy of the tree, `lists`
keeps what has been judged. Contract: the checkout is never written to; the same seed tries the same mutants.

Why our own: mutmut changes neither constants of a module nor properties, and has no list of judged survivors.
cosmic-ray writes into the checkout, and has one command and one timeout in seconds for all modules.
"""
