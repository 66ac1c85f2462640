"""hwquant: a trained neural network goes in, verified hardware comes out."""

__version__ = "0.1.0"
