"""The parts of `benchmarks/energy_accuracy.py`: our meter, Zeus and CodeCarbon.

`our_side` and `peers` measure the same scripted traces in processes of their own; `errors`, `costs`
and `bench` run both sides and make the rows of the table.
"""
