"""What every part of the library leans on: judging arguments, writing files, saying what a result was made from, waiting with Ctrl-C.

In comes what is not trusted or not finished; out goes a value that is right, a file that is whole, or one sentence that says what to do.
"""
