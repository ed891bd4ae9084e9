"""Training runs: configuration, run folder, callbacks, reports, and the study of strategies."""
