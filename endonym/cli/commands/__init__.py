"""Commands that are not stages: one file each, with `options(parser)` and `run(args, console)`."""
