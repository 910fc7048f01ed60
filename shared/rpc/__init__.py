"""How the parts speak gRPC: statuses, interceptors, servers and channels."""
