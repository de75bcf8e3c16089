"""Who speaks: kinds that tell voices apart; `streamer.join` knows what to do where none does."""
