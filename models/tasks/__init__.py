"""Other tasks than emotion in which a fusion stands: next-item recommendation, sarcasm and humour."""
