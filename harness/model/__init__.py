"""The base model, its fast exact forward, and the certificate that the forward is exact."""
