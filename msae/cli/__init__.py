"""In: words on the command line. Out: one call of the library, a file where one is asked for, a sentence where it cannot be done."""
