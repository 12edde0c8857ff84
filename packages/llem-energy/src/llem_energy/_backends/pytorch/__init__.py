"""The PyTorch backend. Only this folder imports torch and transformers."""
