"""Fine-tuning of float and half-quantized networks in PyTorch, and progressive quantization (CN112884133A)."""
