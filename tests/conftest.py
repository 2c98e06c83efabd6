"""One thread for every test: the machine is shared, and small products gain nothing from more."""

import torch

torch.set_num_threads(1)
