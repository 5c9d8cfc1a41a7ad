"""From an nn.Module to a torch.export program with the free axes that the user asked for."""
