"""Operators of ONNX graphs that are remarkable wherever they stand."""

__all__ = ["CONTROL_FLOW", "DATA_DEPENDENT", "INTEGER_KERNELS", "QUANTIZERS", "RECURRENT"]

CONTROL_FLOW = ("If", "Loop", "Scan")
RECURRENT = ("LSTM", "GRU", "RNN")
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
"""Operators that put floats on a grid and read them back."""
INTEGER_KERNELS = (
    "DynamicQuantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
)
DATA_DEPENDENT = ("NonMaxSuppression", "NonZero", "Compress", "Unique")
"""Operators whose results have sizes that depend on the values of the samples."""
