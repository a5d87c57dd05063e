"""Bodies that know their truth: a heart and a glucose metabolism, each an endless source from a seed."""
