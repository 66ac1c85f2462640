from hwquant.quantize.fuse import plan_layers
from hwquant.quantize.groups import scale_classes, scale_groups


def sets(partition):
    return {frozenset(members) for members in partition.sets().values()}


def test_pool_and_concat_share_a_scale(build):
    assert {"r1", "p1"} in sets(scale_groups(plan_layers(build("chain", 0))))
    assert {"c2", "r3", "k1"} in sets(scale_groups(plan_layers(build("concat", 0))))


def test_identity_terms_tie_scales_to_powers_of_two(build):
    plan = plan_layers(build("residual", 0))
    # avg is over 8 x 8 elements, a power of two, and so tied to what it averages.
    assert {"r1", "last", "avg"} in sets(scale_classes(plan, shift_only=True))
    assert {"r1"} in sets(scale_classes(plan, shift_only=False))
    plan = plan_layers(build("clips", 0))
    assert {"r1", "half", "last", "avg"} in sets(scale_classes(plan, shift_only=True))
    assert {"x", "low"} in sets(scale_classes(plan, shift_only=True))
    assert {"r1", "half"} in sets(scale_classes(plan, shift_only=False))
