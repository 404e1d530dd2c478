"""What the rooms share."""

from bad_input import Function
from bad_input.sae import NO_DEVICE
from msae.support.hardware import hardware

TABLE = [Function(hardware, lambda: {"device": "cpu"}, {"device": NO_DEVICE})]
