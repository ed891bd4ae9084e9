"""Networks for other runtimes: ONNX, LiteRT, OpenVINO, SavedModel.

`graph` turns weights into one TensorFlow function, images in and points out. `formats` writes it as a file of each
format, `runtimes` runs such a file, and `parity` compares what it answers with Keras.
"""
