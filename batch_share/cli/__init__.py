"""The command line: reads arguments, calls the library, shows what happens, chooses the exit code.

Nothing here decides what is sent, and heavy libraries are imported inside commands, so that `--help` answers at once.
"""
