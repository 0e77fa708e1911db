"""Signal conditioning for machines that have no controller to ask.

A dumb machine shows a lamp, closes a contact, draws a current, gives pulses. Each kind turns such
inputs into one signal with an honest status. The tests compare this table with docs/adapters.md.
"""

from plant.flow.resolver import Kinds

KINDS = Kinds(
    "kaikou.conditions",
    {
        "current_state": "edge.conditioning.current_state:CurrentState",
        "current_power": "edge.conditioning.current_power:CurrentPower",
        "stack_light": "edge.conditioning.stack_light:StackLight",
        "contact_state": "edge.conditioning.contact_state:ContactState",
        "pulse_count": "edge.conditioning.pulse_count:PulseCount",
        "pulse_power": "edge.conditioning.pulse_power:PulsePower",
        "ne43": "edge.conditioning.ne43:Ne43",
    },
)
"""Kind -> class; each class is its configuration and opens a ``Conditioner``."""
