"""Training and evaluation of the encoders that hear and see."""
