"""What the scripts share: heatmaps, losses, metrics, drawing, training, evaluation."""
