"""What ``lmam inspect`` adds to a run: onlookers beside the graph, and the page made of what they saw."""
