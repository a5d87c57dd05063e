"""What is left of plays: JUnit, a page, and a directory with everything that is needed to play again."""
