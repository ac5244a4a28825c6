"""The command line: reads arguments, calls the library, shows what happens, chooses the exit code."""
