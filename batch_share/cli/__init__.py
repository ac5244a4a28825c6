"""The command line: reads arguments, calls the library, shows what happens, chooses the exit code.

Nothing here decides what is sent, and what is heavy is imported inside commands, so that `--help` answers at once.
"""
