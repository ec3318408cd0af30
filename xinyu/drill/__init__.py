"""What clients saw while something went wrong, and whether the promises held. Free of I/O: records in, a verdict out.

`history` has the records, `checker` judges them by the numbers of GUARANTEES.md, G1 to G7.
"""
