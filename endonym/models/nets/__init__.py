"""Networks of our own, saved and loaded as every model of transformers is."""
