"""The command line: a file a family of commands, each with the arguments of a command beside what it does.

Imports inside functions are on purpose, here and wherever `cli` reaches: each command loads only what it needs.
`--help` takes less than 0.1 s that way; the screens would add 0.2 s and SSH as much again.
"""
