"""What the live parts reach and cost, measured on recordings with the truth beside them."""
