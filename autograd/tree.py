"""Nested dicts, lists and tuples of arrays, taken apart into leaves and put together again."""

__all__ = ["flatten", "tree_map"]


def flatten(tree):
    """(leaves, rebuild): the leaves of `tree` in order, and the function that puts others in their places.

    A container is a dict, list, tuple or named tuple; anything else, None too, is a leaf.
    """
    if isinstance(tree, dict):
        leaves, rebuild = flatten(list(tree.values()))

        def fill(new):
            filled = tree.copy()  # an OrderedDict stays one
            filled.update(zip(tree, rebuild(new), strict=True))
            return filled

        return leaves, fill
    if isinstance(tree, (list, tuple)):
        parts = [flatten(branch) for branch in tree]
        make = (lambda items: type(tree)(*items)) if hasattr(tree, "_fields") else type(tree)

        def rebuild(new):
            new = iter(new)
            return make([build([next(new) for _ in leaves]) for leaves, build in parts])

        return [leaf for leaves, _ in parts for leaf in leaves], rebuild
    return [tree], lambda new: next(iter(new))


def tree_map(f, tree):
    """`tree` with `f` applied to every leaf."""
    leaves, rebuild = flatten(tree)
    return rebuild([f(leaf) for leaf in leaves])
