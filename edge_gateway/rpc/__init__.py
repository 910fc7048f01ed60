"""The public interface over gRPC: servicers that only translate."""
