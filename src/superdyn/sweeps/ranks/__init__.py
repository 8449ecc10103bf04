"""The ranks of one run: a torchrun group, each process's place in it, their process group and how Lightning sees it."""
