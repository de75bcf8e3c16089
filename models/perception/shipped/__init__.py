"""What the weights that ship reach and cost, part by part, beside simple baselines run on the same data."""
