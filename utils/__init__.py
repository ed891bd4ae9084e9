"""Commands, and the rooms that they are made of: common, evaluation, training, demo."""
