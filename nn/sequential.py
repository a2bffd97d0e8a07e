"""Sequential: modules one after the other."""

from .module import Module

__all__ = ["Sequential"]


class Sequential(Module):
    """The modules one after the other, named "0", "1", ..., or by the keys of a dict of them.

    `model[0]` is a module, `model[1:]` a Sequential of the same modules under the same names.
    """

    def __init__(self, *modules):
        named = modules[0] if len(modules) == 1 and isinstance(modules[0], dict) else dict(enumerate(modules))
        for name, module in named.items():
            if not isinstance(module, Module):
                raise TypeError(f"Sequential: {module!r} is not a module; write Sequential(nn.Linear(2, 3), nn.ReLU())")
            if hasattr(self, str(name)):
                raise ValueError(f"Sequential: every Sequential has a {name!r}; give the module another name")
            setattr(self, str(name), module)

    def __iter__(self):
        return (x for x in vars(self).values() if isinstance(x, Module))

    def __len__(self):
        return sum(1 for _ in self)

    def __getitem__(self, index):
        named = [(name, x) for name, x in vars(self).items() if isinstance(x, Module)]
        if isinstance(index, slice):
            return Sequential(dict(named[index]))
        try:
            return named[index][1]
        except IndexError:
            raise IndexError(f"Sequential: index {index} of {len(named)} modules") from None

    def forward(self, x):
        for module in self:
            x = module(x)
        return x
