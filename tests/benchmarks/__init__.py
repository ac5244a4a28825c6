"""What batch_share achieves, beside what else could be used. `make bench` runs them; a number fails no test.

Every ratio is to something that ran side by side or in turn with it, since machines are as fast as their neighbours
let them be. One module measures one thing; `sizes` says how much of it, `test_smoke` runs each in seconds.
"""
