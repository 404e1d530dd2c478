"""What the rooms share."""

from bad_input import Function
from bad_input.sae import NO_DEVICE

from msae.support.exercises import tell
from msae.support.hardware import hardware

NO_FUNCTION = [None, 3, "double", [abs]]

TABLE = [
    Function(hardware, lambda: {"device": "cpu"}, {"device": NO_DEVICE}),
    Function(tell, lambda: {"check": lambda answer: None, "answer": abs}, {"check": NO_FUNCTION, "answer": NO_FUNCTION}),
]
