"""Generated flows: every shape of graph with every body that fits it, held against what it must come to."""
