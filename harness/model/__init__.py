"""The base model, its fast exact forward pass, and the certificate that the pass is exact."""
