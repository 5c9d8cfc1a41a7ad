"""Programs in files (``.pt2``, TorchScript): what they may hold, so that reading one runs nothing that the file brings."""
