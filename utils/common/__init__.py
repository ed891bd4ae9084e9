"""What everything else stands on: command line, files, images, worker processes, Keras start-up."""
