"""A small network, built when this is imported: by the process that `tests.support.killing` forks others from."""

import torch

from featstore.backbone import Backbone

torch.set_num_threads(1)  # a thread pool would not survive the fork
NETWORK = Backbone("resnet18", "none", input_size=32)
KEY = NETWORK.fingerprints("fp32")["avgpool"].key
