"""Sizes beyond which a model is taken for damaged."""

LARGEST = 1 << 26
"""Elements of a tensor, batch included, beyond which a model is taken for damaged: no chip holds them."""

LARGEST_VIEW = 1 << 24
"""Elements of what is reordered one by one, such as every network input, beyond which a model is damaged."""

MOST_SPENT = 1 << 28
"""Elements, batch included, that all views and constant factors of a model have together."""

MOST_SHIFTED = 1e9
"""How large the shift of a shared input can be that another reader has to undo, in multiples of the input."""

MOST_PHASES = 1 << 12
"""Convolutions that a transposed one is made of, a stride of 64 in both directions; few networks have one of 32."""

LARGEST_MATRIX = 1 << 22
"""Weights of a window over channels, which becomes a matrix; the channels of a network are some hundreds."""
