"""Conversation models, one file a host."""
