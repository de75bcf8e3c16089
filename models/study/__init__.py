"""The study: which rows its tables have, running what is missing of them, and writing docs/results.md."""
