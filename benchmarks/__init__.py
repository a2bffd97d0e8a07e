"""This library beside hand-written numpy and its peers: `python -m benchmarks` from a checkout.

Not installed with the package. The peers come with the extra: `pip install -e '.[bench]'`.
"""
