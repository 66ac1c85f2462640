"""Windows for builders of networks whose options say how the window moves, among other things."""

from hwquant.window import Window


def take_window(weight, options):
    """The window of a weight with the stride, padding and dilation among the options, which lose them."""
    names = ("stride", "padding", "dilation")
    return Window(weight.shape[2:], **{name: options.pop(name) for name in names if name in options})
