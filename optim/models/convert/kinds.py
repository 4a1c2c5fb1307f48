"""Operators of ONNX graphs that are remarkable wherever they stand."""

__all__ = ["CONTROL_FLOW", "DATA_DEPENDENT", "INTEGER_STORAGE", "RECURRENT"]

CONTROL_FLOW = ("If", "Loop", "Scan")
RECURRENT = ("LSTM", "GRU", "RNN")
INTEGER_STORAGE = (
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
)
DATA_DEPENDENT = ("NonMaxSuppression", "NonZero", "Compress", "Unique")
"""Operators whose results have sizes that depend on the values of the samples."""
